"""What all request bodies share: strict types, null as absent, and refusing what is not supported.

Validation reports the first error of a body and looks for hardly any more, however large the body is: lists are `Many`,
and objects have at most MAX_FIELDS fields.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic import ValidationError as SchemaError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

ABOUT = ("title", "description", "examples", "default")
"""The keywords of a JSON schema that do not restrict the values."""


MAX_FIELDS = 256
Element = TypeVar("Element")


class FirstError(FailFast):
    """Stops validating a list at its first error."""

    __hash__ = object.__hash__


Many = Annotated[list[Element], FirstError()]

TAGS: set[str] = set()
"""All tags made so far."""


def tag(kind: str) -> str:
    """The tag of a union's branch. Pydantic puts it into the path of an error."""
    made = f"(of kind {kind})"
    TAGS.add(made)
    return made


def kind_of(
    *kinds: str, untyped: Callable[[dict[str, Any]], str | None] = lambda given: None
) -> Callable[[Any], str | None]:
    """For a discriminator: finds the tag of an object or a model by its type. `untyped` returns the kind of an object
    without a type."""

    def find(given: Any) -> str | None:
        kind = given.get("type") or untyped(given) if isinstance(given, dict) else getattr(given, "type", None)
        return tag(kind) if kind in kinds else None

    return find


class RequestModel(BaseModel):
    """Strings are not numbers, `true` is not 1, null means absent, unknown fields are refused."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        if len(content) > MAX_FIELDS:
            raise PydanticCustomError(
                "fields", "has {count} fields; at most {most} are allowed", {"count": len(content), "most": MAX_FIELDS}
            )
        return {name: value for name, value in content.items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The JSON schema, with the nulls that `_drop_nulls` allows."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        required = schema.get("required", [])
        schema["properties"] = {
            name: value if name in required else nullable(value) for name, value in schema["properties"].items()
        }
        schema["additionalProperties"] = {"type": "null"}
        return reference


def nullable(schema: JsonSchemaValue) -> JsonSchemaValue:
    """A property's schema that also allows null.

    >>> nullable({"type": "string", "description": "Who."})
    {'anyOf': [{'type': 'string'}, {'type': 'null'}], 'description': 'Who.'}
    """
    null = {"type": "null"}
    if null in schema.get("anyOf", ()):
        return schema
    about = {key: value for key, value in schema.items() if key in ABOUT and value is not None}
    values = {key: value for key, value in schema.items() if key not in ABOUT}
    branches = values["anyOf"] if values.keys() == {"anyOf"} else [values]
    return {"anyOf": [*branches, null], **about}


def expects(what: str) -> WrapValidator:
    """For a union: one error message for all branches."""

    def check(value: Any, validate: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return validate(value)
        except SchemaError as error:
            raise PydanticCustomError("type", "must be {what}", {"what": what}) from error

    return WrapValidator(check)


def only(*neutral: Any) -> WrapValidator:
    """For an unsupported field: refuses any value but the `neutral` ones, which change nothing."""

    def check(value: Any, validate: ModelWrapValidatorHandler[Any]) -> Any:
        if any(type(value) is type(one) and value == one for one in neutral):
            return value
        raise PydanticCustomError("extra_forbidden", "not supported")

    # Pydantic merges equal schemas; without a type those of true and 1 would be equal.
    kind: dict[str, Any] = {"type": "boolean"} if any(isinstance(one, bool) for one in neutral) else {}
    return WrapValidator(check, json_schema_input_type=Annotated[Any, WithJsonSchema(kind | {"enum": [*neutral]})])


def forget(value: Any) -> None:
    """For fields that change nothing but may be large: drops the value."""


Forgotten = Annotated[Any, AfterValidator(forget)]
CacheControl = Annotated[
    Forgotten,
    Field(
        examples=[{"type": "ephemeral"}],
        description="Changes nothing here: prompts are cached without being marked.",
    ),
]


def known_kinds(*kinds: str, default: str | None = None) -> WrapValidator:
    """For objects that must be of these types: names any other type. Without a type it is `default`."""

    def check(value: Any, validate: ModelWrapValidatorHandler[Any]) -> Any:
        kind = value.get("type") or default if isinstance(value, dict) else default
        if isinstance(kind, str) and kind not in kinds:
            known = ", ".join(kinds)
            raise PydanticCustomError(
                "kind", "type {kind} is not supported: only {known}", {"kind": kind[:200], "known": known}
            )
        return validate(value)

    return WrapValidator(check)
