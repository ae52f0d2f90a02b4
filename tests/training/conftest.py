from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from training.config import Shape, TrainingConfig
from training.corpus import documents
from training.model import GptOss
from training.packing import Encoded, encode
from training.tokenizer import train_tokenizer

TINY = Shape(
    vocab_size=400,
    hidden_size=64,
    intermediate_size=32,
    num_layers=3,
    num_heads=6,
    num_kv_heads=2,
    head_dim=16,
    num_experts=5,
    experts_per_token=2,
    window=8,
    original_max_position=64,
)


@pytest.fixture(autouse=True)
def uncompiled() -> Iterator[None]:
    """Turns off compiling, which takes a minute; test_compiled.py shows that in float32 it changes only the time."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture(scope="session")
def tiny_config() -> TrainingConfig:
    return TrainingConfig(shape=TINY, steps=6, batch_tokens=256, warmup_steps=2, documents=60, bfloat16=False)


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_config: TrainingConfig) -> Tokenizer:
    return train_tokenizer((document.text for document in documents(300, seed=0)), tiny_config.shape.vocab_size)


@pytest.fixture(scope="session")
def tiny_documents(tiny_config: TrainingConfig, tiny_tokenizer: Tokenizer) -> Encoded:
    return encode(documents(tiny_config.documents, seed=0), tiny_tokenizer, longest=200)


@pytest.fixture
def random_model(request: pytest.FixtureRequest) -> GptOss:
    """A model whose parameters hide no mistake and do not amplify float32's rounding.

    `param` replaces sizes of the shape.
    """
    model = GptOss(replace(TINY, **getattr(request, "param", {})))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.2, generator=generator)
    return model
