import pytest

from training import words
from training.arithmetic import draw_pair
from training.draw import PHRASE_KEPT_OUT, Draw, is_kept_out
from training.functions import FUNCTIONS
from training.json_tasks import FIELDS
from training.text_tasks import one_word
from training.tool_tasks import asked


def drawn(kind: str, held_out: bool) -> set[object]:
    draws = [Draw(f"{seed}", held_out=held_out) for seed in range(400)]
    match kind:
        case "phrase":
            return {draw.phrase("abcdefghijkl") for draw in draws}
        case "value":
            return {draw.value(words.NOUNS) for draw in draws}
        case "invented":
            return {draw.invented() for draw in draws}
        case "number":
            return {draw.number(0, 99) for draw in draws}
        case "name":
            return {draw.name() for draw in draws}
        case _:
            return {word for draw in draws for word in draw.different_words(3)}


@pytest.mark.parametrize("kind", ["phrase", "value", "invented", "number", "name", "different_words"])
def test_what_is_held_out_is_never_drawn_for_training(kind: str) -> None:
    trained, held_out = drawn(kind, False), drawn(kind, True)
    assert trained
    assert held_out
    assert not trained & held_out


def test_who_is_held_out_is_in_no_story() -> None:
    assert not drawn("name", True) & {*words.GIRLS, *words.BOYS}


def test_of_a_pair_that_is_held_out_neither_order_is_trained_on() -> None:
    draws = [Draw(f"{seed}") for seed in range(4000)]
    for sign in "+-*":
        trained = {draw_pair(draw, sign) for draw in draws}
        asked = {draw_pair(Draw(f"{seed}", held_out=True), sign) for seed in range(400)}
        assert not trained & {*asked, *((b, a) for a, b in asked)}, sign


def test_words_that_are_held_out_are_in_no_trained_text_task() -> None:
    def said(draw: Draw) -> tuple[str, str]:
        return one_word(draw), draw.any_word()

    trained, asked = (
        {word for seed in range(4000) for word in said(Draw(f"{seed}", held_out=out))} for out in (False, True)
    )
    assert not trained & asked


def test_every_fifth_phrasing_is_held_out() -> None:
    assert drawn("phrase", True) == set("ej")
    assert drawn("phrase", False) == set("abcdfghikl")


def test_what_is_practised_is_drawn_for_training_and_keeps_nothing_else_out() -> None:
    for held_out, wanted in ((False, "abcdfghiklxy"), (True, "ej")):
        draws = [Draw(f"{seed}", held_out=held_out) for seed in range(400)]
        assert {draw.phrase("abcdefghijkl", "xyxyxy") for draw in draws} == set(wanted)


def test_what_is_mistaken_most_is_practised_more_often_than_it_is_asked() -> None:
    def seen(held_out: bool) -> tuple[float, float]:
        pairs = [draw_pair(Draw(f"{seed}", held_out=held_out), "-") for seed in range(2000)]
        return sum(a < b for a, b in pairs) / 2000, sum(a < 10 for a, _ in pairs) / 2000

    for practised, scored in zip(seen(False), seen(True), strict=True):
        assert practised > 1.5 * scored


def test_fillers_make_no_question_that_is_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    time = next(function for function in FUNCTIONS if "time" in function.nouns)
    monkeypatch.setattr("training.tool_tasks.with_fillers", lambda draw, question: "What time is it now in {a}?")
    trained = {asked(Draw(f"{seed}"), time) for seed in range(400)}
    assert "What time is it now in {a}?" not in trained
    assert "What time is it in {a}?" in trained


def test_a_question_that_differs_in_its_mark_alone_is_not_held_out() -> None:
    options = ("Hi.", "{w}?", "Ho", "c", "Hi", "d", "e", "f", "g", "Ho?", "{w}.", "i", "j", "k", "{w}")
    assert {Draw(f"{seed}", held_out=True).phrase(options) for seed in range(50)} == {"{w}"}


def test_about_one_value_in_eight_is_held_out() -> None:
    assert 0.1 < sum(map(is_kept_out, range(10_000))) / 10_000 < 0.15


def test_the_seed_alone_decides() -> None:
    assert [Draw("7").word() for _ in range(3)] == [Draw("7").word() for _ in range(3)]
    assert len({Draw(str(seed)).invented() for seed in range(50)}) > 40


def test_different_words_differ() -> None:
    found = Draw("1").different_words(20)
    assert len(set(found)) == 20


def test_a_phrasing_that_stands_twice_is_kept_out_only_where_it_is_never_trained_on() -> None:
    options = ("a", "b", "c", "d", "a", "f", "g", "h", "i", "j")
    assert {Draw(f"{seed}", held_out=True).phrase(options) for seed in range(50)} == {"j"}
    assert "j" not in {Draw(f"{seed}").phrase(options) for seed in range(50)}


def test_names_kept_out_of_one_kind_are_met_as_names_of_anything() -> None:
    names = [
        *(names for names, _ in FIELDS.values()),
        *(function.nouns for function in FUNCTIONS),
        *(names for function in FUNCTIONS for names, _ in function.parameters.values()),
    ]
    kept_out = {name for each in names for name in each[PHRASE_KEPT_OUT - 1 :: PHRASE_KEPT_OUT]}
    assert len(kept_out) > 20
    assert kept_out <= {*words.LABELS, *words.EVERYDAY}, kept_out - {*words.LABELS, *words.EVERYDAY}
