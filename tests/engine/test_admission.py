"""What is refused before it is sent; the errors themselves are tested where they are seen, through the server."""

from collections.abc import Iterator

import pytest

from engine.admission import admit
from engine.errors import RequestError
from engine.request import Request, SamplingParams


class Watched(tuple[int, ...]):
    """A prompt that counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Iterator[int]:
        Watched.times += 1
        return super().__iter__()


def test_a_prompt_that_requests_share_is_looked_at_once() -> None:
    prompt = Watched(range(10))
    requests = [Request(id=f"{choice}", prompt_token_ids=prompt) for choice in range(16)]
    assert [request.sampling.max_tokens for request in admit(requests, 10, 30)] == [20] * 16
    assert Watched.times == 2, "for its least and its greatest"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"prompt_token_ids": (1, 10)}, "prompt"),
        ({"prompt_token_ids": (1, -1)}, "prompt"),
        ({"sampling": SamplingParams(stop_token_ids=(10,))}, "stop_token_ids"),
        ({"sampling": SamplingParams(logit_bias={10: 1.0})}, "logit_bias"),
    ],
)
def test_any_of_several_may_be_refused(changes: dict, param: str) -> None:
    bad = Request(**{"id": "bad", "prompt_token_ids": (1,)} | changes)
    with pytest.raises(RequestError, match=f"{param}: token id -?1") as caught:
        admit([Request(id="good", prompt_token_ids=(1, 2)), bad], 10, 30)
    assert caught.value.param == param
