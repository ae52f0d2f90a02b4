from dataclasses import replace
from itertools import islice

import pytest
import torch
from tokenizers import Tokenizer

from training.config import Shape, TrainingConfig
from training.corpus import documents
from training.model import GptOss
from training.packing import Sequences, encode, pack
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


@pytest.fixture(scope="session")
def tiny_config() -> TrainingConfig:
    return TrainingConfig(shape=TINY, steps=6, batch_size=2, sequence_length=32, warmup_steps=2, documents=60)


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_config: TrainingConfig) -> Tokenizer:
    texts = (document.prompt + document.completion for document in documents(200, seed=0))
    return train_tokenizer(texts, tiny_config.shape.vocab_size)


@pytest.fixture(scope="session")
def tiny_sequences(tiny_config: TrainingConfig, tiny_tokenizer: Tokenizer) -> Sequences:
    some = islice(documents(tiny_config.documents, seed=0), 40)
    return pack(encode(some, tiny_tokenizer), tiny_config.sequence_length)


@pytest.fixture
def random_model(request: pytest.FixtureRequest) -> GptOss:
    """Every parameter at a value that hides no mistake. `param` replaces numbers of the shape."""
    model = GptOss(replace(TINY, **getattr(request, "param", {})))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.3, generator=generator)
    return model
