"""Sums, differences and products, worked out column by column as on paper.

487 + 365: "487 and 365. ones: 7+5+0=12, write 2, carry 1: 2. tens: 8+6+1=15, write 5, carry 1: 52. …"

Every step names its column and ends with the digits found so far: a small model is better at looking digits up by name
than at counting places, and better at copying a result than at gathering its digits.
"""

import re

from training.draw import Draw, is_kept_out
from training.exchange import EFFORTS, Effort, Exchange
from training.wording import phrasings

QUESTIONS = {
    "+": phrasings(
        "How much is {a} plus {b}?", "{a}+{b}", "{a} + {b} = ?", "What do you get when you add {a} and {b}?",
        "How much is {a} + {b}?", "I have {a} apples and get {b} more. How many do I have?", "{a} plus {b} is what?",
        "What do {a} and {b} make together?", "How many are {a} and {b} together?", "What does {a} + {b} give?",
        noun=("{a} + {b}", "{a} plus {b}", "the sum of {a} and {b}", "the result of {a} + {b}"),
        verb=("add {a} and {b}", "compute {a} + {b}", "calculate {a} plus {b}", "add {b} to {a}"),
    ),
    "-": phrasings(
        "How much is {a} minus {b}?", "{a}-{b}", "{a} - {b} = ?", "What do you get when you subtract {b} from {a}?",
        "How much is {a} - {b}?", "I have {a} apples and give away {b}. How many are left?", "{a} minus {b} is what?",
        "What is left of {a} without {b}?", "How many are left of {a} without {b}?", "What does {a} - {b} give?",
        noun=("{a} - {b}", "{a} minus {b}", "the difference of {a} and {b}", "the result of {a} - {b}"),
        verb=("subtract {b} from {a}", "compute {a} - {b}", "calculate {a} minus {b}", "take {b} from {a}"),
    ),
    "*": phrasings(
        "How much is {a} times {b}?", "{a}*{b}", "{a} * {b} = ?", "What do you get when you multiply {a} by {b}?",
        "How much is {a} * {b}?", "I have {a} boxes with {b} apples each. How many apples do I have?",
        "{a} times {b} is what?", "What are {a} boxes of {b} apples together?", "How many are {a} times {b}?",
        "What does {a} * {b} give?",
        noun=("{a} * {b}", "{a} times {b}", "the product of {a} and {b}", "the result of {a} * {b}"),
        verb=("multiply {a} by {b}", "compute {a} * {b}", "calculate {a} times {b}", "multiply {a} and {b}"),
    ),
}  # fmt: skip
PRACTISED = {sign: phrasings(verb=(f"work out what {{a}} {sign} {{b}} makes",)) for sign in QUESTIONS}
"""Phrasings in which a word follows the numbers, and products as they are written by hand."""
PRACTISED["*"] += phrasings("{a}×{b}", "{a}x{b}", "{a} x {b}", noun=("{a} × {b}",))
SPOKEN = {"+": "plus", "-": "minus", "*": "times"}


COLUMNS = ("ones", "tens", "hundreds", "thousands")


def columns(a: int, b: int) -> list[tuple[str, int, int]]:
    """Each column's name and digits, beginning with the ones. Numbers have at most four digits.

    >>> columns(8, 17)
    [('ones', 8, 7), ('tens', 0, 1)]
    """
    width = max(len(str(a)), len(str(b)))
    pairs = zip(reversed(str(a).zfill(width)), reversed(str(b).zfill(width)), strict=True)
    return [(name, int(x), int(y)) for name, (x, y) in zip(COLUMNS, pairs, strict=False)]


def aligned(a: int, b: int) -> str:
    width = max(len(str(a)), len(str(b)))
    return f"{a:0{width}} and {b:0{width}}."


def added(a: int, b: int) -> str:
    """
    >>> added(8, 17)
    '08 and 17. ones: 8+7+0=15, write 5, carry 1: 5. tens: 0+1+1=2, write 2, carry 0: 25.'
    """
    lines, carry, found = [aligned(a, b)], 0, ""
    for name, x, y in columns(a, b):
        total = x + y + carry
        step = f"{name}: {x}+{y}+{carry}={total}, write {total % 10}, carry {total // 10}"
        carry, found = total // 10, f"{total % 10}{found}"
        lines.append(f"{step}: {found}.")
    if carry:
        lines.append(f"carry {carry}: {carry}{found}.")
    return " ".join(lines)


def subtracted(a: int, b: int) -> str:
    """The columns of a difference of a ≥ b.

    >>> subtracted(42, 17)
    '42 and 17. ones: 2-7-0=-5, write 5, borrow 1: 5. tens: 4-1-1=2, write 2, borrow 0: 25.'
    """
    lines, borrow, found = [aligned(a, b)], 0, ""
    for name, x, y in columns(a, b):
        left = x - y - borrow
        step = f"{name}: {x}-{y}-{borrow}={left}, write {left % 10}, borrow {int(left < 0)}"
        borrow, found = int(left < 0), f"{left % 10}{found}"
        lines.append(f"{step}: {found}.")
    return " ".join(lines)


def multiplied(a: int, b: int) -> str:
    """One line for each digit of `b`, then their sum.

    >>> multiplied(47, 3)
    '47 by 3: ones: 7*3=21, 21+0=21, write 1, carry 2: 1. tens: 4*3=12, 12+2=14, write 14: 141.'
    """
    lines, rows = [], []
    for place, digit in enumerate(reversed(str(b))):
        carry, found, row = 0, "", [f"{a} by {digit}:"]
        digits = str(a)[::-1]
        for i, (name, x) in enumerate(zip(COLUMNS, digits, strict=False)):
            product = int(x) * int(digit)
            total = product + carry
            step = f"{name}: {x}*{digit}={product}, {product}+{carry}={total}, write "
            if i == len(digits) - 1:
                row.append(f"{step}{total}: {total}{found}.")
            else:
                carry, found = total // 10, f"{total % 10}{found}"
                row.append(f"{step}{total % 10}, carry {carry}: {found}.")
        rows.append(a * int(digit) * 10**place)
        if place:
            row.append(f"With a zero: {rows[-1]}.")
        lines.append(" ".join(row))
    if len(rows) > 1:
        lines.append(added(rows[0], rows[1]))
    return " ".join(lines)


def columns_only(thought: str) -> str:
    """A short thought: the same steps without the digits to write and carry.

    >>> columns_only("08 and 17. ones: 8+7+0=15, write 5, carry 1: 5.")
    '08 and 17. ones: 8+7+0=15: 5.'
    """
    return re.sub(r", write \d+(, (carry|borrow) \d)?", "", thought)


def work(a: int, sign: str, b: int, effort: Effort) -> tuple[str, int]:
    """The thought and the result."""
    if sign == "+":
        steps, result = added(a, b), a + b
    elif sign == "-":
        result = a - b
        steps = subtracted(max(a, b), min(a, b))
        if a < b:
            steps = f"{b} is larger, so it is minus {b}-{a}. {steps}"
    else:
        steps, result = multiplied(a, b), a * b
    if effort == "low":
        return columns_only(steps), result
    thought = f"{a}{sign}{b}. {steps} The result is {result}."
    if effort == "high":
        thought = f"The user wants to know what {a} {SPOKEN[sign]} {b} is. I go from the ones to the left. {thought}"
    return thought, result


def draw_pair(draw: Draw, sign: str) -> tuple[int, int]:
    """Draws few numbers of one digit and few negative differences, but more of them in training: they are the hardest.

    A pair is held out only in both orders: a model that has practised 57 times 9 knows 9 times 57.
    """
    largest: tuple[int, ...] = (9, 99) if sign == "*" else (9, 99, 999)
    if draw.held_out:
        largest = (9, 99, 99) if sign == "*" else (9, 99, 99, 999, 999, 999)
    while True:
        a, b = (draw.rng.randint(0, draw.any(largest)) for _ in range(2))
        if sign == "-" and a < b and not draw.chance(0.15 if draw.held_out else 0.3):
            a, b = b, a
        orders = (f"{a}{sign}{b}", f"{b}{sign}{a}")
        if all(map(is_kept_out, orders)) if draw.held_out else not is_kept_out(orders[0]):
            return a, b


def arithmetic(draw: Draw) -> Exchange:
    sign, effort = draw.any("+++---****"), draw.any(EFFORTS)
    a, b = draw_pair(draw, sign)
    thought, result = work(a, sign, b, effort)
    question = draw.phrase(QUESTIONS[sign], PRACTISED[sign]).format(a=a, b=b)
    return Exchange(question, thought, f"{a} {sign} {b} = {result}.", expected=str(result), effort=effort)
