"""The shapes of the pictures, as SVG."""

from math import cos, pi, sin
from xml.sax.saxutils import escape

INK, PALE, BLUE, ORANGE, GREY = "#24292f", "#f6f8fa", "#cfe3fb", "#ffd8a8", "#d0d7de"


def picture(width: int, height: int, *shapes: str) -> str:
    """An SVG document on a white background, so that it is readable on dark pages too."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
    )
    arrow = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{INK}"/></marker></defs>'
    )
    ground = f'<rect width="{width}" height="{height}" rx="8" fill="white"/>'
    return "\n".join([head, arrow, ground, *shapes, "</svg>\n"])


def text(x: float, y: float, words: str, *, size: int = 13, weight: int = 400, anchor: str = "middle") -> str:
    """Text centred vertically on (x, y), line by line."""
    lines = words.split("\n")
    first = y - (len(lines) - 1) * size * 0.62 + size * 0.35  # From the middle of the letters to the baseline.
    spans = "".join(
        f'<tspan x="{x:g}" y="{first + i * size * 1.25:g}">{escape(line)}</tspan>' for i, line in enumerate(lines)
    )
    return f'<text text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">{spans}</text>'


def box(x: float, y: float, width: float, height: float, words: str, *, fill: str = PALE, size: int = 13) -> str:
    shape = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" stroke="{INK}"/>'
    return shape + text(x + width / 2, y + height / 2, words, size=size)


def frame(x: float, y: float, width: float, height: float, title: str) -> str:
    """A dashed border with a title, around the parts of one process."""
    shape = (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="10" fill="none" stroke="{INK}" '
        'stroke-dasharray="5 4"/>'
    )
    return shape + text(x + 12, y + 14, title, size=12, weight=600, anchor="start")


def arrow(*points: tuple[float, float]) -> str:
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="{path}" fill="none" stroke="{INK}" marker-end="url(#arrow)"/>'


def sector(x: float, y: float, radius: float, part: int, parts: int, words: str, fill: str) -> str:
    """One of `parts` equal parts of a ring around (x, y), clockwise from the top."""
    inner, (start, stop) = radius * 0.5, (2 * pi * at / parts - pi / 2 for at in (part, part + 1))
    corners = [
        (x + r * cos(angle), y + r * sin(angle))
        for r, angle in ((radius, start), (radius, stop), (inner, stop), (inner, start))
    ]
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    shape = (
        f'<path d="M{ax:.1f} {ay:.1f} A{radius:g} {radius:g} 0 0 1 {bx:.1f} {by:.1f} L{cx:.1f} {cy:.1f} '
        f'A{inner:g} {inner:g} 0 0 0 {dx:.1f} {dy:.1f}z" fill="{fill}" stroke="{INK}"/>'
    )
    middle, at = (start + stop) / 2, radius * 0.75
    return shape + text(round(x + at * cos(middle), 1), round(y + at * sin(middle), 1), words)
