import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RequestError
from engine.prompt.mask import STAND_INS, Mask, strings

SPECIALS = ["<|start|>", "<|end|>"]


@given(text=st.text() | st.text("<|>start\U00100000\U00100001"))
def test_masked_text_has_no_marks_and_comes_back(text):
    mask = Mask(SPECIALS, [text])
    hidden = mask.hide(text)
    assert not set(hidden) & set("<|>")
    assert len(hidden) == len(text)
    assert mask.reveal(hidden) == text
    assert mask.reveal(json.loads(json.dumps(hidden))) == text


def test_values_are_masked_all_over():
    value = {"a<": ["|", 1, None, True, {"b": ">"}], "c": ("<",)}
    mask = Mask(SPECIALS, strings(value))
    assert not set("".join(strings(mask.hide(value)))) & set("<|>")
    assert mask.hide(value)["c"] == [mask.hide("<")]
    assert "".join(strings(value)) == "a<|b>c<"


def test_a_special_token_without_punctuation_is_masked_whole():
    mask = Mask(["PAD"], ["A PAD"])
    assert not set(mask.hide("A PAD")) & set("PAD")


def test_no_stand_in_left():
    with pytest.raises(RequestError) as caught:
        Mask(SPECIALS, [chr(code) for code in STAND_INS])
    assert caught.value.param == "messages"
