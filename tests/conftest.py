"""Puts the golden helpers on the path; every test runs on one thread so that numbers do not depend on the machine."""

import sys
from pathlib import Path

import torch

for folder in ("golden", "methods"):
    sys.path.insert(0, str(Path(__file__).parent / folder))
torch.set_num_threads(1)
