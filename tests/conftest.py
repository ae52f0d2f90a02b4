"""One thread for every tensor library: the models of the tests are small, and several processes run at once.

Triton's kernels run in its interpreter here; it decides when it is imported, so this stands before everything.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TRITON_INTERPRET"] = "1"

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("carousel", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("carousel")
