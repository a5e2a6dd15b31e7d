"""Peak memory: the data once, and a constant. Linux only: /proc counts a process from its own start."""

import subprocess
import sys

import numpy as np
import pytest

from minamo.cli.main import run

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc/self/status")

MEGABYTE = 2**20

MEASURE = """
import re, sys
from minamo.cli.main import run
code = run(sys.argv[1:])
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
sys.exit(code)
"""


def test_a_large_array_is_held_once(tmp_path):
    """100,000 x 784 float32 (299 MiB): the peak of a whole `minamo fit` stays under 1.3 arrays plus 600 MB."""
    shape = (100_000, 784)
    path = tmp_path / "x.npy"
    x = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    rng = np.random.default_rng(0)
    for start in range(0, shape[0], 10_000):
        x[start : start + 10_000] = rng.random((10_000, 784), dtype=np.float32)
    size = x.nbytes
    del x
    words = ["fit", str(path), "-o", str(tmp_path / "run"), "--max-epochs", "1", "--batch", "512", "--hidden", "64"]
    done = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.splitlines()[-1])
    assert peak < 1.3 * size + 600e6, f"{peak / MEGABYTE:.0f} MiB for {size / MEGABYTE:.0f} MiB of data"


def test_it_is_really_measured(tmp_path, capsys):
    """The same for a tiny array: the constant alone, well below the bound above."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((100, 5)))
    words = ["fit", str(tmp_path / "x.npy"), "-o", str(tmp_path / "run"), "--max-epochs", "1"]
    done = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=False)
    assert 100 * MEGABYTE < int(done.stdout.splitlines()[-1]) < 600e6
    assert run(["evidence", str(tmp_path / "run")]) == 0


BUDGET = """
import re, torch
from minamo import LatentVariableModel
from minamo.evidence import Annealing, Given, annealed, weigh
from minamo.families import Diagonal
from minamo.likelihoods import Bernoulli
from minamo.nets import Mlp
from minamo.posteriors import Amortized
from minamo.priors import StandardNormal

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

d, budget = 20_000, 50_000_000
model = LatentVariableModel(
    StandardNormal(4), Bernoulli(Mlp(4, d, (16,))), Amortized(Mlp(d, 8, (16,)), Diagonal(4))
).eval()
few, many = (Given((torch.rand(n, d) < 0.5).float()) for n in (1, 24))
weigh(model, few, [2])
annealed(model, few, Annealing(temperatures=2, chains=1))
before = peak()
weigh(model, many, [32], memory=budget)
between = peak()
annealed(model, many, Annealing(temperatures=2, chains=8, leapfrogs=1), memory=budget)
print(between - before, peak() - before, budget)
"""


def test_an_evaluation_keeps_to_its_budget():
    """24 rows of 20,000 columns, 32 draws each: decoded at once, 61 MB for each of several tensors."""
    done = subprocess.run([sys.executable, "-c", BUDGET], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weighed, annealed, budget = (int(word) for word in done.stdout.split())
    assert 0.02 * budget < weighed < budget
    assert 0.02 * budget < annealed < budget
