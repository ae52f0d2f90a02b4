"""A step of decoding as one call: what it asks of the C++ ops is written down, and then made without Python between.

This is to a CPU what a CUDA graph is to a GPU (`engine.runner.graphs`): the calls run on the tensors that they were
written down with, so the numbers of another step are first copied into these.
"""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from engine.kernels.arena import Arena
from engine.kernels.cpu.library import SIGNATURES, Library, addressed, letters

MOST_ARGUMENTS = 24
FIELDS = {"p": "address", "f": "real", "l": "number"}
EMPTY = {f"aten::{name}" for name in ("empty", "new_empty", "empty_like", "empty_strided")}


class CannotRecordError(RuntimeError):
    """A step computes something outside the C++ ops."""


class Argument(ctypes.Union):
    """As in replay.h."""

    _fields_ = (("address", ctypes.c_void_p), ("number", ctypes.c_long), ("real", ctypes.c_float))


class Call(ctypes.Structure):
    """As in replay.h: a function's place in SIGNATURES, and its arguments."""

    _fields_ = (("function", ctypes.c_long), ("arguments", Argument * MOST_ARGUMENTS))


class NothingOfTorch(TorchDispatchMode):
    """While it lasts, torch may make tensors, in the arena, and views of them; what it computes would be missing in a
    recording."""

    def __init__(self, arena: Arena) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._arena = arena

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else the mode's first use imports all of torch's compiler, which takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._schema.name in EMPTY:
            return self._arena.like(result)
        if func._schema.is_mutable or not is_view(result, args):
            raise CannotRecordError(f"{func} is no C++ op")
        return result


def is_view(result: Any, arguments: Any) -> bool:
    """Whether all that came out lies in the memory of what went in."""
    memory = {each.untyped_storage().data_ptr() for each in arguments if isinstance(each, Tensor)}
    results = result if isinstance(result, list | tuple) else (result,)
    return all(isinstance(each, Tensor) and each.untyped_storage().data_ptr() in memory for each in results)


class Recorder:
    """Records steps on one library: an `engine.runner.graphs.Capture` that computes nothing. Raises CannotRecordError.

    What a step makes on the way lies where the others' does, too: it is lost when another one is replayed.
    """

    def __init__(self, library: Library) -> None:
        self._library, self.arena = library, Arena()

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        calls = self._library.written.calls = []
        self.arena.reset()
        try:
            with NothingOfTorch(self.arena):
                step()
        finally:
            self._library.written.calls = None
        return partial(replay, self._library, (Call * len(calls))(*(written(*call) for call in calls)), calls)


def replay(library: Library, calls: ctypes.Array[Call], kept: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Makes the calls. They are about tensors, of which they have only the addresses: `kept` has the tensors."""
    library.replay(calls)


def written(name: str, arguments: tuple[Any, ...]) -> Call:
    call = Call(function=list(SIGNATURES).index(name))
    for place, letter, value in zip(call.arguments, letters(name), addressed(arguments), strict=False):
        setattr(place, FIELDS[letter], value)
    return call
