"""What can go wrong, as one tree. No HTTP here: `server/errors.py` maps these to status codes.

CarouselError
├── ConfigError            a flag, or a value in config.json, that cannot be served
├── CheckpointError        a weight file that is not what its config promises (names file and tensor)
├── MemoryPlanError        the model or one request does not fit the memory given
├── RequestError           a request that cannot be served as asked (names the parameter)
│   └── ContextLengthError prompt and answer together exceed the context
├── QueueFullError         no room to wait; try again later
├── EngineNotReadyError    the engine is loading, stopping or dead
├── SlowReaderError        nobody reads what the engine writes
└── GenerationError        the engine failed while this request was running
"""


class CarouselError(Exception):
    """Base of every error this project raises on purpose. `str(error)` is one line fit for a user."""


class ConfigError(CarouselError):
    """An operator's setting, or a value of config.json, that cannot be served."""


class CheckpointError(CarouselError):
    """A checkpoint that is not what its config promises. The message names the file and the tensor."""


class MemoryPlanError(CarouselError):
    """The model, or a single request at the wanted length, does not fit the memory given."""


class RequestError(CarouselError):
    """A request that cannot be served as asked. `param` is the request field at fault, if one is."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthError(RequestError):
    """Prompt and answer together exceed the context."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message, param=param, code="context_length_exceeded")


class QueueFullError(CarouselError):
    """No room to wait."""


class EngineNotReadyError(CarouselError):
    """The engine is loading, stopping or dead: nothing was taken."""


class SlowReaderError(CarouselError):
    """Nobody reads what the engine writes: the request is ended before it fills the memory."""


class GenerationError(CarouselError):
    """The engine failed while this request was running; what was streamed before stands."""
