"""One thread for every tensor library: the tests' models are small, and several processes run at once.

Triton's kernels run in its interpreter here. Triton decides that when it is imported, so this comes before everything.
"""

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TRITON_INTERPRET"] = "1"
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"  # The servers of the tests are on this machine.

import pytest
import torch
from hypothesis import settings

from tests.reliability import ReliabilityTable

torch.set_num_threads(1)
settings.register_profile("carousel", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("carousel")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability-table", type=Path, help="Write the faults' tests and results into this file.")


def pytest_configure(config: pytest.Config) -> None:
    if (path := config.getoption("--reliability-table")) is not None:
        config.pluginmanager.register(ReliabilityTable(path))
