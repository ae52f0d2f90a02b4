"""One thread for every tensor library: the models of the tests are small, and several processes run at once."""

import os

import torch

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
