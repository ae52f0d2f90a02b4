from datetime import date

import pytest

from engine.errors import RequestError
from engine.prompt.conversation import Conversation


def user(text):
    return {"role": "user", "content": text}


def answer(text, **more):
    return {"role": "assistant", "content": text, **more}


def call(call_id, name, arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls, **more):
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(call_id, text):
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def turns(*messages, **more):
    return Conversation(messages, **more).turns()


def thoughts(*messages, **more):
    return [turn.get("thinking") for turn in turns(*messages, **more)]


def system(text):
    return {"role": "system", "content": text}


def test_the_first_instructions_are_one_message_and_later_ones_stay_in_their_place():
    developer = [{"role": "developer", "content": text} for text in "BC"]
    found = turns(system("A"), developer[0], user("hi"), developer[1], system(""), user("yo"))
    assert found == [system("A\n\nB"), user("hi"), system("C"), user("yo")]


@pytest.mark.parametrize("place", range(3))
def test_nothing_comes_between_calls_and_their_results(place):
    results = [result("b", "2"), result("a", "1")]
    results.insert(place, system("Hurry."))
    found = turns(user("?"), calling(call("a", "f"), call("b", "g")), *results, system("Now."))
    roles = ["user", "assistant", "tool", "assistant", "tool", "system", "system"]
    assert [turn["role"] for turn in found] == roles
    assert [turn["content"] for turn in found[-2:]] == ["Hurry.", "Now."]


def test_content_none_is_empty():
    assert turns(user(None)) == [user("")]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "thinking"])
def test_reasoning_under_every_name(name):
    assert thoughts(user("q"), calling(call("1", "f"), **{name: "hm"}), result("1", "r")) == [
        None,
        "hm",
        None,
    ]


def test_reasoning_is_kept_within_a_tool_loop():
    messages = (
        user("q"),
        calling(call("1", "f"), reasoning="one"),
        result("1", "r"),
        calling(call("2", "f"), reasoning="two"),
        result("2", "r"),
    )
    assert thoughts(*messages) == [None, "one", None, "two", None]


def test_reasoning_is_dropped_once_an_answer_was_given():
    first = (
        user("q"),
        calling(call("1", "f"), reasoning="one"),
        result("1", "r"),
        answer("a", reasoning="two"),
    )
    assert not any(thoughts(*first, user("q")))
    again = (*first, user("q"), calling(call("2", "f"), reasoning="three"), result("2", "r"))
    assert thoughts(*again)[-2:] == ["three", None]
    assert not any(thoughts(*again)[:-2])


def test_the_last_answer_keeps_its_reasoning_only_without_a_generation_prompt():
    messages = (user("q"), answer("a", reasoning="one"), user("q"), answer("a", reasoning="two"))
    assert thoughts(*messages, add_generation_prompt=False) == [None, None, None, "two"]
    assert thoughts(*messages) == [None] * 4
    assert thoughts(*messages, user("q"), add_generation_prompt=False) == [None] * 5


def test_several_calls_become_a_message_each_with_its_result():
    found = turns(
        user("q"),
        calling(call("1", "f"), call("2", "g"), call("3", "h"), content="Three.", reasoning="hm"),
        result("2", "G"),
        result("1", "F"),
        user("more"),
    )
    assert [(turn["role"], turn["content"], turn.get("thinking")) for turn in found] == [
        ("user", "q", None),
        ("assistant", "Three.", "hm"),
        ("tool", "F", None),
        ("assistant", "", None),
        ("tool", "G", None),
        ("assistant", "", None),
        ("user", "more", None),
    ]
    assert [turn["tool_calls"][0]["function"]["name"] for turn in found if "tool_calls" in turn] == [
        "f",
        "g",
        "h",
    ]
    assert [turn["name"] for turn in found if turn["role"] == "tool"] == ["f", "g"]


def test_calls_of_one_name_have_their_results_in_order():
    messages = [
        user("?"),
        calling(call("a", "f"), call("a", "g")),
        result("a", "1"),
        result("a", "2"),
        result("a", "3"),
        result("b", "4"),
    ]
    assert [(t["role"], t["content"], t.get("name")) for t in turns(*messages)[2:]] == [
        ("tool", "1", "f"), ("assistant", "", None), ("tool", "2", "g"), ("tool", "3", "g"), ("tool", "4", "g"),
    ]  # fmt: skip


def test_the_work_grows_with_the_calls_and_results_not_with_both():
    class Name(str):
        compared = 0

        def __eq__(self, other):
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    count = 300
    messages = [calling(*(call(Name(f"a{i}"), "f") for i in range(count)))]
    messages += [result(Name(f"a{i}"), "") for i in reversed(range(count))]
    assert [t.get("tool_call_id") for t in turns(user("?"), *messages)[2::2]] == [f"a{i}" for i in range(count)]
    assert Name.compared < 20 * count


def test_a_result_without_its_call_follows_the_latest():
    found = turns(user("q"), calling(call("1", "f"), call("2", "g")), result("x", "?"), result("2", "G"))
    assert [(turn["content"], turn["name"]) for turn in found if turn["role"] == "tool"] == [
        ("G", "g"),
        ("?", "g"),
    ]


def test_results_are_named_by_their_calls():
    found = turns(user("q"), calling(call("1", "f")), calling(call("2", "g")), result("1", "F"), result("2", "G"))
    assert [(turn["content"], turn["name"]) for turn in found if turn["role"] == "tool"] == [
        ("F", "f"),
        ("G", "g"),
    ]


def test_a_call_without_tool_calls_is_an_answer():
    assert "tool_calls" not in turns(user("q"), answer("a", tool_calls=[]))[1]


@pytest.mark.parametrize(
    "messages",
    [
        (),
        ({"role": "wizard", "content": "x"},),
        ({"content": "x"},),
        ({"role": "user", "content": ["x"]},),
        (user("q"), result("1", "nothing was called")),
        (user("q"), calling({"id": "1"})),
        (user("q"), calling({"function": {"name": None}})),
        (user("q"), calling(call("1", "f", {"not": "a string"}))),
    ],
)
def test_what_cannot_be_rendered_names_the_messages(messages):
    with pytest.raises(RequestError) as caught:
        turns(*messages)
    assert caught.value.param == "messages"


def test_tools_have_a_description():
    tools = ({"type": "function", "function": {"name": "f", "description": None, "strict": True}},)
    (tool,) = Conversation((), tools).functions()
    assert tool == {"type": "function", "function": {"name": "f", "description": "", "strict": True}}


@pytest.mark.parametrize("tool", [{}, {"function": {}}, {"function": {"name": "f", "description": 3}}])
def test_a_tool_that_is_no_function(tool):
    with pytest.raises(RequestError) as caught:
        Conversation((), (tool,)).functions()
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    ("asked", "told"),
    [("none", "low"), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high")],
)
def test_effort(asked, told):
    assert Conversation((), reasoning_effort=asked).effort() == told


def test_unknown_effort():
    with pytest.raises(RequestError) as caught:
        Conversation((), reasoning_effort="immense").effort()
    assert caught.value.param == "reasoning_effort"


def test_day():
    assert Conversation((), current_date="2025-06-28").day() == date(2025, 6, 28)
    before = date.today()
    assert before <= Conversation(()).day() <= date.today()
    with pytest.raises(RequestError) as caught:
        Conversation((), current_date="tomorrow").day()
    assert caught.value.param == "current_date"
