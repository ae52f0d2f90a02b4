"""Answers that are a JSON object of a given schema, with the values that the question gives.

The thought lists the fields in the schema's form, so that the model can copy their names in one go.
"""

import json
from typing import Any

from training.draw import Draw
from training.exchange import EFFORTS, Exchange
from training.wording import FILLERS, phrasings

FIELDS: dict[str, tuple[tuple[str, ...], str]] = {
    "name": (("name", "person", "user", "customer", "employee"), "string"),
    "city": (("city", "town", "place", "home", "location"), "string"),
    "item": (("item", "product", "thing", "article", "object"), "string"),
    "colour": (("color", "colour", "paint", "shade", "tone"), "enum"),
    "age": (("age", "years", "year_count", "old", "age_in_years"), "integer"),
    "count": (("count", "amount", "number", "quantity", "total"), "integer"),
    "member": (("member", "active", "paid", "open", "ready"), "boolean"),
    "words": (("tags", "words", "labels", "keywords", "list"), "array"),
}
COLOURS = ("red", "blue", "green", "black", "white")
ASKED = phrasings(
    "{}.", "{}", "I have this: {}.", "Extract: {}.", "JSON please: {}.", "Here is the data: {}.", "As an object: {}.",
    "JSON: {}.", "Here is what I know: {}. Write the JSON.", "The data: {}.", "This is the data: {}.",
    "I have this: {}. Give me the object.", "{}. Now write the object.", "Fill this in: {}.", "An object, please: {}.",
    noun=("this as JSON: {}", "a JSON object: {}", "the object for this: {}", "the JSON of this: {}"),
    verb=("write this as JSON: {}", "make a JSON object: {}", "fill in the object: {}", "answer in JSON: {}",
          "put this into JSON: {}", "return a JSON object with {}", "turn this into JSON: {}",
          "fill in the schema: {}"),
)  # fmt: skip
SAID = (
    "the {} is {}", "{}: {}", "{} is {}", "{} = {}", "its {} is {}", "{} {}", "{} {} please", "the {}: {}",
    "my {} is {}", "{} should be {}", "the {} is: {}", "{} must be {}", "the {} = {}", "your {} is {}", "its {}: {}",
    "his {} is {}", "our {}: {}", "{} was {}", "her {} = {}", "its {} has to be {}",
    "this {} is {}", "{} shall be {}", "for {} take {}", "{} equals {}", "its {} = {}",
    "their {}: {}", "set {} to {}", "{} has to be {}", "with {} {}", "the {} should be {}",
    "{} -> {}", "as {} use {}", "that {} is {}", "her {}: {}", "its {} should be {}",
    "{} may be {}", "whose {} is {}", "{} was set to {}", "our {} is {}",
)  # fmt: skip
SCHEMA_WORDS = ("object", "object", "object", "type", "properties", "required", "string", "items", "array", "integer")
"""Words of JSON schemas themselves. As a field's name they are hard to find in the question."""
SCHEMA_NAMES = ("person", "order", "answer", "record", "entry", "data", "object", "card", "result", "form")


def draw_value(draw: Draw, field: str, kind: str) -> Any:
    match kind:
        case "integer":
            return draw.rng.randint(0, draw.any((9, 99, 999)))
        case "boolean":
            return draw.chance(0.5)
        case "enum":
            return draw.any(COLOURS)
        case "array":
            return draw.different_words(draw.rng.randint(1, 3))
        case _:
            of_any_kind = field == "item" or (not draw.held_out and draw.chance(0.25))
            return draw.any_word() if of_any_kind else draw.name()


def spoken(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " and ".join(value) if isinstance(value, list) else str(value)


def described(kind: str) -> dict[str, Any]:
    match kind:
        case "enum":
            return {"type": "string", "enum": list(COLOURS)}
        case "array":
            return {"type": "array", "items": {"type": "string"}}
        case _:
            return {"type": kind}


def a_pattern(draw: Draw) -> str:
    """A pattern that gives a value. In training often any words around it, up to three before: "{} has to be {}"."""
    if draw.held_out or draw.chance(0.4):
        return draw.phrase(SAID)
    before, *rest = (
        draw.any(FILLERS) if draw.chance(0.9) else draw.invented(2, 6) for _ in range(1 + draw.any((1, 1, 2, 2, 3)))
    )
    between = " ".join(rest)
    return draw.any(
        (f"{before} {{}} {between} {{}}", f"{before} {{}}: {{}}", f"{before} {{}} = {{}}", f"{{}} {between} {{}}")
    )


def look_up(draw: Draw) -> Exchange:
    """Asks for one of the question's values by its name, without an object."""
    effort, count, names = draw.any(EFFORTS), draw.rng.randint(1, 4), list[str]()
    while len(names) < count:
        name = draw.label()
        names += [name] if name not in names else []
    values = {
        name: spoken(draw_value(draw, *draw.any(tuple((f, kind) for f, (_, kind) in FIELDS.items())))) for name in names
    }
    wanted = draw.any(names)
    said = ", ".join(a_pattern(draw).format(name, value) for name, value in values.items())
    asked = draw.any(("What is the {}?", "Which {} is it?", "Tell me the {}.", "The {}, please.", "And the {}?"))
    thought = {
        "low": "",
        "medium": f'I look for "{wanted}": ',
        "high": f'The user asks for a value. I look for "{wanted}": ',
    }
    return Exchange(
        f"{said[0].upper()}{said[1:]}. {asked.format(wanted)}",
        f"{thought[effort]}{values[wanted]}." if thought[effort] else "",
        f"The {wanted} is {values[wanted]}.",
        values[wanted],
        effort,
    )


def field_names(draw: Draw, fields: list[str]) -> list[str]:
    """One of a field's names, or any word: the model must read names from the schema, not know them."""
    while True:
        chance = 0.5 if draw.held_out else 0.7
        names = [draw.label() if draw.chance(chance) else draw.phrase(FIELDS[field][0]) for field in fields]
        if not draw.held_out and draw.chance(0.3):
            names[draw.rng.randrange(len(names))] = draw.any(SCHEMA_WORDS)
        if len(set(names)) == len(names):
            return names


def json_task(draw: Draw) -> Exchange:
    """The question gives the values in another order than the schema. In training there are often more of them."""
    effort = draw.any(EFFORTS)
    fields = draw.rng.sample(sorted(FIELDS), draw.rng.randint(1, 4 if draw.held_out else 7))
    names = dict(zip(fields, field_names(draw, fields), strict=True))
    values = {names[field]: draw_value(draw, field, FIELDS[field][1]) for field in fields}
    properties = {names[field]: described(FIELDS[field][1]) for field in fields}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(properties)}
    if draw.chance(0.5):
        schema["additionalProperties"] = False
    mixed, pattern = draw.chance(0.2), a_pattern(draw)
    told = [(name, spoken(value)) for name, value in values.items()]
    draw.rng.shuffle(told)
    said = [(a_pattern(draw) if mixed else pattern).format(name, value) for name, value in told]
    question = draw.phrase(ASKED).format(", ".join(said))
    answer = json.dumps(values, ensure_ascii=False)
    quoted = '","'.join(values)
    listed = f'The fields are "{quoted}".'
    thought = {
        "low": listed,
        "medium": f"{listed} I fill them in.",
        "high": f"The user wants a JSON object. {listed} I fill them in.",
    }[effort]
    return Exchange(
        question, thought, answer, answer, effort, schema={"name": draw.phrase(SCHEMA_NAMES), "schema": schema}
    )
