"""Functions to call: which one, with which arguments, or none, and what to say about their results.

The first thought goes through the question: the purpose of each call and its values, in the order of the function's
parameters. Before each call, the thought quotes the function's definition as it is in the prompt, beginning with its
purpose. So the model copies the names from the definition and the values from the line before it. With two calls, each
result is said when it arrives, and the answer repeats both.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.countries import COUNTRIES
from training.draw import Draw
from training.exchange import EFFORTS, Call, Effort, Exchange
from training.functions import FUNCTIONS, Function
from training.wording import phrasings, with_fillers

VERBS = ("get", "find", "fetch", "read", "look_up", "show", "check", "query", "load", "search")


WEATHERS = ("sunny", "rainy", "cloudy", "windy", "snowy", "foggy", "stormy", "clear")
NO_TOOL = phrasings(
    "Who will clean my room?", "I want some music.", "The window is open. Close it.", "The light is on. Switch it off.",
    "My car is dirty. Wash it.",
    verb=("sing a song", "draw a picture of a cat", "open the door", "play some music", "drive the car home",
          "switch the light on", "paint the house", "cook a soup", "take a photo", "clean my room", "order a pizza",
          "close the window", "wash the car", "print this page", "feed the cat", "start the engine", "call a taxi",
          "water the flowers", "delete all files", "walk the dog", "bake a cake", "fix my bike", "move the table"),
)  # fmt: skip
NONE_FITS = "I am sorry, but none of my tools can do that."
TYPES = {"city": "string", "word": "string", "name": "string", "count": "integer"}


@dataclass(frozen=True, slots=True)
class Offered:
    """A function with the names that it has in one conversation."""

    function: Function
    name: str
    names: dict[str, str]

    def tool(self, draw: Draw) -> dict[str, Any]:
        """The function's definition in the form of OpenAI's chat API."""
        properties: dict[str, Any] = {}
        for slot, name in self.names.items():
            properties[name] = {"type": TYPES[self.function.parameters[slot][1]]}
            if draw.chance(0.3):
                properties[name]["description"] = f"The {name.replace('_', ' ')}."
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        description = draw.any(("Returns {}.", "Gives {}.", "Tells {}.")).format(self.function.purpose)
        if self.function.purpose.startswith(("book", "send")):
            description = f"Can {self.function.purpose}."
        return {
            "type": "function",
            "function": {"name": self.name, "description": description, "parameters": schema},
        }

    def use(self, values: Mapping[str, Any]) -> str:
        """
        the distance between two cities: "Oslo", "Rome".
        """
        return f"{self.function.purpose}: {', '.join(json.dumps(values[slot]) for slot in self.names)}."

    def call(self, thought: str, values: Mapping[str, Any], result: str) -> Call:
        return Call(thought, self.name, {name: values[slot] for slot, name in self.names.items()}, result)


def quoted(tool: dict[str, Any]) -> str:
    """A definition from its purpose to its last parameter, as it is in the prompt (chat_template.jinja).

    the weather of a city.
    type get_weather = (_: {
    city: string,
    }
    """
    function = tool["function"]
    purpose = function["description"].split(" ", 1)[1]
    lines = [purpose, f"type {function['name']} = (_: {{"]
    for name, schema in function["parameters"]["properties"].items():
        lines += [f"// {schema['description']}"] if "description" in schema else []
        lines.append(f"{name}: {'number' if schema['type'] == 'integer' else schema['type']},")
    return "\n".join([*lines, "}"])


def thoughts(uses: Sequence[str], tools: Sequence[dict[str, Any]], found: Sequence[str], effort: Effort) -> list[str]:
    """The thought before each call: what was found, what is left to do, and the definition to follow."""
    before = {"low": "", "medium": "I look at my tools. ", "high": "The user needs a tool. I look at my tools. "}[
        effort
    ]
    steps = [f"{order} {use}" for order, use in zip(("First", "Then"), uses, strict=False)]
    known = ["", *(f"{sentence} " for sentence in found)]
    return [f"{known[i]}{before}{' '.join(steps[i:])}\n{quoted(tool)}" for i, tool in enumerate(tools)]


def offer(draw: Draw, function: Function) -> Offered:
    """Gives a function a name like get_weather. Nouns and parameters are phrasings or any word: names must be read."""
    chance = 0.4 if draw.held_out else 0.7
    noun = draw.label() if draw.chance(chance) else draw.phrase(function.nouns)
    name = draw.any((noun, f"{draw.any(VERBS)}_{noun}", f"{draw.any(VERBS)}_{noun}"))
    while True:
        names = {
            slot: draw.label() if draw.chance(chance) else draw.phrase(known)
            for slot, (known, _) in function.parameters.items()
        }
        if len(set(names.values())) == len(names):
            return Offered(function, name, names)


def offers(draw: Draw, count: int) -> list[Offered]:
    """Different functions with different names."""
    functions = draw.rng.sample(FUNCTIONS, count)
    while True:
        offered = [offer(draw, function) for function in functions]
        if len({each.name for each in offered}) == count:
            return offered


def value(draw: Draw, kind: str) -> str | int:
    match kind:
        case "city":
            return draw.any(COUNTRIES).capital if draw.chance(0.4) else draw.invented(4, 8).capitalize()
        case "name":
            return draw.name()
        case "count":
            return draw.rng.randint(2, 12)
        case _:
            return draw.any_word()


def result(draw: Draw, kind: str) -> str:
    match kind:
        case "weather":
            return f"{draw.any(WEATHERS)}, {draw.rng.randint(0, 35)} degrees"
        case "time":
            return f"{draw.rng.randint(0, 23)}:{draw.rng.randint(10, 59)}"
        case "number":
            return str(draw.rng.randint(1, 9999))
        case _:
            return draw.word()


def bare(answer: str) -> str:
    """A function's result as JSON."""
    return f'{{"result": "{answer}"}}'


def how_many(draw: Draw) -> int:
    """The number of functions to offer. More in training, for choosing is the harder part."""
    return draw.any((1, 2, 2, 3, 4) if draw.held_out else (1, 2, 3, 4, 4))


def asked(draw: Draw, function: Function) -> str:
    """A question with its slots. In training now and then with meaningless words in it, unless that gives another
    phrasing."""
    question = draw.phrase(function.questions, function.practised)
    if draw.held_out or draw.chance(0.75):
        return question
    filled = with_fillers(draw, question)
    return question if filled in function.questions else filled


def tool_task(draw: Draw) -> Exchange:
    """Offers one to four functions, for one call, two in a row, or none."""
    effort = draw.any(EFFORTS)
    offered = offers(draw, how_many(draw))
    tools = tuple(each.tool(draw) for each in offered)
    instructions = "You are a helpful assistant." if draw.chance(0.2) else ""
    way = draw.rng.random()
    if way < 0.15:
        question = draw.phrase(NO_TOOL)
        thought = {"low": "None fits.", "medium": "I look at my tools. None fits."}.get(
            effort, "The user needs a tool. I look at my tools. None fits."
        )
        return Exchange(question, thought, NONE_FITS, "none", effort, instructions, tools)
    chosen = [draw.any(offered)]
    values = [{slot: value(draw, kind) for slot, (_, kind) in chosen[0].function.parameters.items()}]
    question = asked(draw, chosen[0].function).format_map(values[0])
    if way > (0.7 if draw.held_out else 0.6):
        if len(offered) > 1 and draw.chance(0.5):
            chosen.append(draw.any([each for each in offered if each is not chosen[0]]))
        else:
            chosen.append(chosen[0])
        values.append({slot: value(draw, kind) for slot, (_, kind) in chosen[1].function.parameters.items()})
        second = asked(draw, chosen[1].function).format_map(values[1])
        question = draw.any(("{} {}", "{} And then: {}", "{} Also: {}")).format(question, second)
    results = [result(draw, each.function.results) for each in chosen]
    uses = [each.use(its) for each, its in zip(chosen, values, strict=True)]
    found = [
        each.function.result.format_map(its | {"r": got})
        for each, its, got in zip(chosen, values, results, strict=True)
    ]
    before = thoughts(uses, [tools[offered.index(each)] for each in chosen], found, effort)
    calls = tuple(
        each.call(thought, its, bare(got))
        for each, thought, its, got in zip(chosen, before, values, results, strict=True)
    )
    last = [*found[1:], *([] if effort == "low" else ["I have what I need."])]
    return Exchange(
        question, " ".join(last), " ".join(found), "|".join(results), effort, instructions, tools, calls=calls
    )
