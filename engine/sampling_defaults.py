"""A checkpoint's sampling defaults: generation_config.json, as transformers writes it."""

from collections.abc import Mapping
from pathlib import Path

from engine.errors import ConfigError, RequestError
from engine.json_object import JsonObject, read_json_object
from engine.request import SamplingParams

FILE = "generation_config.json"
NUMBERS = ("temperature", "top_p", "min_p", "repetition_penalty")
COUNT = "top_k"


def read_sampling_defaults(directory: Path) -> Mapping[str, float | int]:
    """The fields of SamplingParams that the file sets: defaults for requests that omit them. Empty without a file.

    Raises CheckpointError for a file that is not JSON, ConfigError for a value that no request may have.
    """
    path = directory / FILE
    if not path.exists():
        return {}
    source = read_json_object(path)
    found: dict[str, float | int] = {name: source.number(name) for name in NUMBERS if name in source}
    if COUNT in source:
        found[COUNT] = source.integer(COUNT)
    _check(source, found)
    return found


def _check(source: JsonObject, found: Mapping[str, float | int]) -> None:
    try:
        SamplingParams(**found)  # type: ignore[arg-type]
    except RequestError as error:
        raise ConfigError(f"{source.where}: {error}") from error
