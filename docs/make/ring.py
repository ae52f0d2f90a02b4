"""docs/pictures/ring.svg: a ring of eight slots turning, beside the pages of a full layer growing."""

from docs.make.drawing import BLUE, GREY, ORANGE, PALE, box, picture, sector, text

WINDOW = 8
PAGE = 4
LENGTHS = (5, 8, 11, 29)


def ring_slots(length: int) -> list[int | None]:
    """The position that each slot holds after `length` tokens: position p is in slot p mod WINDOW.

    >>> ring_slots(5)
    [0, 1, 2, 3, 4, None, None, None]
    >>> ring_slots(11)
    [8, 9, 10, 3, 4, 5, 6, 7]
    """
    slots: list[int | None] = [None] * WINDOW
    for position in range(length):
        slots[position % WINDOW] = position
    return slots


def ring_picture() -> str:
    shapes = []
    for column, length in enumerate(LENGTHS):
        x = 125 + 215 * column
        shapes.append(text(x, 28, f"after {length} tokens", size=14, weight=600))
        for slot, position in enumerate(ring_slots(length)):
            newest = position == length - 1
            fill = PALE if position is None else ORANGE if newest else BLUE
            shapes.append(sector(x, 140, 90, slot, WINDOW, "" if position is None else str(position), fill))
        shapes.append(text(x, 140, "sliding\nlayer"))
        for page in range(-(-length // PAGE)):
            left, top = x - 88 + 45 * (page % 4), 268 + 24 * (page // 4)
            first, last = PAGE * page, min(length, PAGE * (page + 1)) - 1
            held = f"{first}–{last}" if first < last else f"{first}"
            shapes.append(box(left, top, 41, 20, held, fill=GREY if last < length - 1 else ORANGE, size=11))
    shapes.append(text(20, 252, "full layer, in pages:", size=12, anchor="start"))
    shapes.append(
        text(447, 336, "Position p lies in slot p mod 8; the newest token takes the place of the oldest.", size=13)
    )
    return picture(895, 356, *shapes)
