"""Sums, differences and products, worked out digit by digit as on paper.

487 + 365, medium: "487 + 365. Digits 487 and 365. 7 + 5 + 0 = 12, write 2, carry 1. 8 + 6 + 1 = 15, …"
"""

from training.draw import Draw, is_kept_out
from training.exchange import EFFORTS, Effort, Exchange

QUESTIONS = {
    "+": (
        "What is {a} + {b}?", "{a} + {b}", "How much is {a} plus {b}?", "Add {a} and {b}.", "Compute {a} + {b}.",
        "What is {a} plus {b}?", "{a}+{b}", "What is the sum of {a} and {b}?", "Please add {b} to {a}.",
        "Can you add {a} and {b}?", "{a} + {b} = ?", "Calculate {a} + {b}.", "Calculate the sum of {a} and {b}.",
        "I have {a} apples and get {b} more. How many do I have?", "Tell me what {a} + {b} is.",
        "What do you get when you add {a} and {b}?", "{a} plus {b}", "How much is {a} + {b}?",
    ),
    "-": (
        "What is {a} - {b}?", "{a} - {b}", "How much is {a} minus {b}?", "Subtract {b} from {a}.", "Compute {a} - {b}.",
        "What is {a} minus {b}?", "{a}-{b}", "What is the difference of {a} and {b}?", "Please take {b} from {a}.",
        "Can you subtract {b} from {a}?", "{a} - {b} = ?", "Calculate {a} - {b}.", "What is left of {a} without {b}?",
        "I have {a} apples and give away {b}. How many are left?", "Tell me what {a} - {b} is.",
        "What do you get when you subtract {b} from {a}?", "{a} minus {b}", "How much is {a} - {b}?",
    ),
    "*": (
        "What is {a} * {b}?", "{a} * {b}", "How much is {a} times {b}?", "Multiply {a} by {b}.", "Compute {a} * {b}.",
        "What is {a} times {b}?", "{a}*{b}", "What is the product of {a} and {b}?", "Please multiply {a} and {b}.",
        "Can you multiply {a} by {b}?", "{a} * {b} = ?", "Calculate {a} * {b}.", "Calculate {a} times {b}.",
        "I have {a} boxes with {b} apples each. How many apples do I have?", "Tell me what {a} * {b} is.",
        "What do you get when you multiply {a} by {b}?", "{a} times {b}", "How much is {a} * {b}?",
    ),
}  # fmt: skip
SPOKEN = {"+": "plus", "-": "minus", "*": "times"}


def padded(number: int, width: int) -> str:
    return str(number).zfill(width)


def added(a: int, b: int) -> str:
    """The columns of a sum, from the ones on.

    >>> added(8, 17)
    'Digits 08 and 17. 8 + 7 + 0 = 15, write 5, carry 1. 0 + 1 + 1 = 2, write 2, carry 0.'
    """
    width = max(len(str(a)), len(str(b)))
    top, bottom = padded(a, width), padded(b, width)
    lines, carry = [f"Digits {top} and {bottom}."], 0
    for x, y in zip(reversed(top), reversed(bottom), strict=True):
        total = int(x) + int(y) + carry
        lines.append(f"{x} + {y} + {carry} = {total}, write {total % 10}, carry {total // 10}.")
        carry = total // 10
    return " ".join(lines)


def subtracted(a: int, b: int) -> str:
    """The columns of a difference of a ≥ b.

    >>> subtracted(42, 17)
    'Digits 42 and 17. 2 - 7 - 0 = -5, write 5, borrow 1. 4 - 1 - 1 = 2, write 2, borrow 0.'
    """
    width = len(str(a))
    top, bottom = padded(a, width), padded(b, width)
    lines, borrow = [f"Digits {top} and {bottom}."], 0
    for x, y in zip(reversed(top), reversed(bottom), strict=True):
        left = int(x) - int(y) - borrow
        lines.append(f"{x} - {y} - {borrow} = {left}, write {left % 10}, borrow {int(left < 0)}.")
        borrow = int(left < 0)
    return " ".join(lines)


def multiplied(a: int, b: int) -> str:
    """One line for each digit of `b`, then their sum.

    >>> multiplied(47, 3)
    '47 by 3: 7 * 3 = 21, 21 + 0 = 21, write 1, carry 2. 4 * 3 = 12, 12 + 2 = 14, write 14. It is 141.'
    """
    lines, rows = [], []
    for place, digit in enumerate(reversed(str(b))):
        carry, row = 0, [f"{a} by {digit}:"]
        digits = str(a)[::-1]
        for i, x in enumerate(digits):
            product = int(x) * int(digit)
            total = product + carry
            last = i == len(digits) - 1
            row.append(f"{x} * {digit} = {product}, {product} + {carry} = {total}, write ")
            row[-1] += f"{total}." if last else f"{total % 10}, carry {total // 10}."
            carry = total // 10
        rows.append(a * int(digit) * 10**place)
        zero = f", with a zero {rows[-1]}" if place else ""
        lines.append(" ".join(row) + f" It is {a * int(digit)}{zero}.")
    if len(rows) > 1:
        lines.append(added(rows[0], rows[1]))
    return " ".join(lines)


def columns_only(thought: str) -> str:
    """A short thought: the same steps without their words.

    >>> columns_only("Digits 08 and 17. 8 + 7 + 0 = 15, write 5, carry 1.")
    '08 and 17. 8+7+0=15.'
    """
    short = thought.removeprefix("Digits ")
    for sign in "+-*=":
        short = short.replace(f" {sign} ", sign)
    return ".".join(sentence.split(", write")[0] for sentence in short.split("."))


def work(a: int, sign: str, b: int, effort: Effort) -> tuple[str, int]:
    """The thought and the result."""
    if sign == "+":
        steps, result = added(a, b), a + b
    elif sign == "-":
        result = a - b
        steps = subtracted(max(a, b), min(a, b))
        if a < b:
            steps = f"{b} is larger, so it is minus {b} - {a}. {steps}"
    else:
        steps, result = multiplied(a, b), a * b
    if effort == "low":
        return columns_only(steps), result
    thought = f"{a} {sign} {b}. {steps} The result is {result}."
    if effort == "high":
        thought = f"The user wants to know what {a} {SPOKEN[sign]} {b} is. I go from the ones to the left. {thought}"
    return thought, result


def draw_pair(draw: Draw, sign: str) -> tuple[int, int]:
    """Every number of digits is as likely; one difference in seven is negative."""
    while True:
        if sign == "*":
            a, b = (draw.rng.randint(0, draw.any((9, 99, 99))) for _ in range(2))
        else:
            a, b = (draw.rng.randint(0, draw.any((9, 99, 99, 999, 999, 999))) for _ in range(2))
        if sign == "-" and a < b and not draw.chance(0.15):
            a, b = b, a
        if is_kept_out(f"{a}{sign}{b}") == draw.held_out:
            return a, b


def arithmetic(draw: Draw) -> Exchange:
    sign, effort = draw.any("+++---****"), draw.any(EFFORTS)
    a, b = draw_pair(draw, sign)
    thought, result = work(a, sign, b, effort)
    question = draw.phrase(QUESTIONS[sign]).format(a=a, b=b)
    return Exchange(question, thought, f"{a} {sign} {b} = {result}.", expected=str(result), effort=effort)
