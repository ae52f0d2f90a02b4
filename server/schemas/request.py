"""What all request bodies share: strict types, null as absent, and refusing what is not supported."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, WrapValidator, model_validator
from pydantic import ValidationError as SchemaError
from pydantic_core import PydanticCustomError


class RequestModel(BaseModel):
    """Strings are not numbers, `true` is not 1, a null is as if absent, an unknown field is refused."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        return {name: value for name, value in content.items() if value is not None}


def expects(what: str) -> WrapValidator:
    """For a union: one message for all its branches."""

    def check(value: Any, validate: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return validate(value)
        except SchemaError as error:
            raise PydanticCustomError("type", "must be {what}", {"what": what}) from error

    return WrapValidator(check)


def only(*neutral: Any) -> WrapValidator:
    """For a field that is not supported: refused unless its value changes nothing."""

    def check(value: Any, validate: ModelWrapValidatorHandler[Any]) -> Any:
        if any(type(value) is type(one) and value == one for one in neutral):
            return value
        raise PydanticCustomError("extra_forbidden", "not supported")

    return WrapValidator(check)
