"""Tools that the server would have to run. This one runs none: a request that offers one is refused, or goes on without
it, as the operator chose."""

import logging
from typing import Any, TypeVar

from pydantic import ModelWrapValidatorHandler, ValidationInfo, WrapValidator
from pydantic_core import PydanticCustomError

from server.logs import log

Offered = TypeVar("Offered")
LEFT_OUT = object()
"""In the place of a tool that the request goes on without."""


class HostedTools:
    """Whether they are left out; the log says once which."""

    def __init__(self, *, ignored: bool) -> None:
        self.ignored = ignored
        self._told: set[str] = set()

    def leave_out(self, name: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log(logging.INFO, "left_out", f"{name}, which this server does not run, is left out of requests")


def hosted(*names: str) -> WrapValidator:
    """For a tool: hosted are those of these types, and theirs with more behind an underscore, as with a date. They are
    refused, unless the context of validation are HostedTools that are ignored: then they are LEFT_OUT."""

    def check(value: Any, validate: ModelWrapValidatorHandler[Any], info: ValidationInfo) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        name = next((name for name in names if isinstance(kind, str) and f"{kind}_".startswith(f"{name}_")), None)
        if name is None:
            return validate(value)
        if isinstance(info.context, HostedTools) and info.context.ignored:
            info.context.leave_out(name)
            return LEFT_OUT
        raise PydanticCustomError(
            "kind",
            "type {kind} is not supported: this server runs no tools; with --ignore-hosted-tools it leaves them out",
            {"kind": str(kind)[:200]},
        )

    return WrapValidator(check)


def without_left_out(tools: list[Offered]) -> list[Offered]:
    return [tool for tool in tools if tool is not LEFT_OUT]
