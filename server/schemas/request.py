"""What all request bodies share: strict types, null as absent, and refusing what is not supported.

Of what is wrong with a body the first is told, and hardly more is looked for, however large it is: lists are `Many`,
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
"""What a JSON schema says of a property beside which values it takes."""


MAX_FIELDS = 256
Element = TypeVar("Element")


class FirstError(FailFast):
    """A list is looked at up to what is wrong in it."""

    __hash__ = object.__hash__


Many = Annotated[list[Element], FirstError()]

TAGS: set[str] = set()
"""Every tag there is."""


def tag(kind: str) -> str:
    """The tag of a union's branch, which pydantic puts into the path of an error."""
    made = f"(of kind {kind})"
    TAGS.add(made)
    return made


def kind_of(
    *kinds: str, untyped: Callable[[dict[str, Any]], str | None] = lambda given: None
) -> Callable[[Any], str | None]:
    """For a discriminator: finds the tag of an object or a model by its type; `untyped` has the kind of an object that
    has no type."""

    def find(given: Any) -> str | None:
        kind = given.get("type") or untyped(given) if isinstance(given, dict) else getattr(given, "type", None)
        return tag(kind) if kind in kinds else None

    return find


class RequestModel(BaseModel):
    """Strings are not numbers, `true` is not 1, a null is as if absent, an unknown field is refused."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        if len(content) > MAX_FIELDS:
            raise PydanticCustomError("fields", "has {count} fields, more than there are", {"count": len(content)})
        return {name: value for name, value in content.items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Says of nulls what `_drop_nulls` does."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        required = schema.get("required", [])
        schema["properties"] = {
            name: value if name in required else nullable(value) for name, value in schema["properties"].items()
        }
        schema["additionalProperties"] = {"type": "null"}
        return reference


def nullable(schema: JsonSchemaValue) -> JsonSchemaValue:
    """A property's schema that takes null, too.

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

    # Pydantic takes schemas that are equal for one, as those of true and 1 else were.
    kind: dict[str, Any] = {"type": "boolean"} if any(isinstance(one, bool) for one in neutral) else {}
    return WrapValidator(check, json_schema_input_type=Annotated[Any, WithJsonSchema(kind | {"enum": [*neutral]})])


def forget(value: Any) -> None:
    """For a validator of what changes nothing, but may be large: it is not kept."""


Forgotten = Annotated[Any, AfterValidator(forget)]
CacheControl = Annotated[
    Forgotten,
    Field(
        examples=[{"type": "ephemeral"}],
        description="Changes nothing here: prompts are cached without being marked.",
    ),
]


def known_kinds(*kinds: str, default: str | None = None) -> WrapValidator:
    """For objects of some types: says which one is not among them. Without a type it is `default`."""

    def check(value: Any, validate: ModelWrapValidatorHandler[Any]) -> Any:
        kind = value.get("type") or default if isinstance(value, dict) else default
        if isinstance(kind, str) and kind not in kinds:
            known = ", ".join(kinds)
            raise PydanticCustomError(
                "kind", "type {kind} is not supported: only {known}", {"kind": kind[:200], "known": known}
            )
        return validate(value)

    return WrapValidator(check)
