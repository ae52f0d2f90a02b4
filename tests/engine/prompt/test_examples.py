"""The worked examples in the docstrings."""

import doctest
from types import ModuleType

import pytest

from engine.prompt import harmony_header, stop_strings, tokenizer, typescript


@pytest.mark.parametrize("module", [harmony_header, stop_strings, tokenizer, typescript])
def test_examples(module: ModuleType):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
