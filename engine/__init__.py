"""Carousel's engine: gpt-oss-style models with rolling KV buffers, without HTTP.

    from engine import LLM, SamplingParams

    llm = LLM("embedded")
    for text in llm.stream("Once upon a time", SamplingParams(max_tokens=50)):
        print(text, end="", flush=True)

Names are loaded on first use, so that code that only handles requests never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.config import EngineConfig
    from engine.engine import Engine
    from engine.llm import LLM, Generation
    from engine.request import FinishReason, Request, SamplingParams, TokenEvent

__version__ = "0.1.0"

__all__ = [
    "LLM",
    "Engine",
    "EngineConfig",
    "FinishReason",
    "Generation",
    "Request",
    "SamplingParams",
    "TokenEvent",
    "__version__",
]

_HOMES = {
    "LLM": "engine.llm",
    "Generation": "engine.llm",
    "Engine": "engine.engine",
    "EngineConfig": "engine.config",
    "FinishReason": "engine.request",
    "Request": "engine.request",
    "SamplingParams": "engine.request",
    "TokenEvent": "engine.request",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
