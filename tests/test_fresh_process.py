"""What a user starts: fresh processes, with cold and with warm caches of kernels.

In one process kernels are compiled once and then always there; faults of the first call
and of what a process leaves behind show in a new one only (issue 7, B7).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bayeslmm.families import FAMILIES

# A function of nobody's module, as nutpie and PyTensor compile them.
FOREIGN = """
import numpy as np
from bayeslmm.marginal.kernels.algebra import cholesky
import numba
from numba.core import event
assert not event._registered["numba:compile"], event._registered
namespace = {}
exec("def double(x): return 2 * x", namespace)
namespace["double"].__module__ = None
assert numba.njit(namespace["double"])(21) == 42
assert cholesky(np.eye(2), 2) is not None
print("misses", cholesky.stats.cache_misses.total())
"""

# Everything of ours after a snapshot of what belongs to all, taken when the libraries
# have been imported: they may set what they like.
README = """
import logging, os, signal, sys, warnings
import arviz, bambi, matplotlib.pyplot, nutpie, numba, pymc, pytensor
import numpy as np
from numba.core import event

def shared():
    rc = {k: str(v) for k, v in matplotlib.rcParams.items()}
    return {
        "warnings": [str(f) for f in warnings.filters], "matplotlib": rc,
        # PyTensor puts its compiler's libraries into PATH when it is first used
        "environment": {k: v for k, v in os.environ.items() if k != "PATH"},
        "numpy": np.geterr(),
        "numba": {k: str(getattr(numba.config, k)) for k in dir(numba.config)
                  if k.isupper()},
        "listeners": {k: list(v) for k, v in event._registered.items() if v},
        "pytensor": str(pytensor.config), "recursion": sys.getrecursionlimit(),
        "arviz": dict(arviz.rcParams), "excepthook": sys.excepthook,
        "loggers": logging.getLogger().handlers[:], "figures": plt.get_fignums(),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "random": np.random.get_state()[1].tolist(),
    }

plt = matplotlib.pyplot
before = shared()
import bayeslmm as lmm

pupils = lmm.simulate_classrooms(seed=4).data
model = lmm.Model("score ~ edu + (edu | classroom)", pupils)
reml = model.fit_reml()
post = model.sample(seed=1, draws=200, progress=False)
assert len(lmm.compare(reml, post)) == 6
assert lmm.reading(reml, post)
lmm.plot_shrinkage(reml, post).savefig("shrinkage.png")
assert post.diagnose().table.shape[0] == 6
post.ranef(levels=[model.design.groups[0].levels[0]], draws=True)
after = shared()
for name in before:
    assert before[name] == after[name], (name, before[name], after[name])
JOINT
print("well")
"""

JOINT = """
short = {"draws": 4, "tune": 10, "chains": 1, "seed": 1, "progress": False}
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore", lmm.FitWarning)  # so few draws
    assert model.sample(method="joint", **short).method == "joint"
"""

FAMILY = """
import sys, warnings
import numpy as np, pandas as pd
import bayeslmm as lmm

family, trials = sys.argv[1], sys.argv[2] == "True"
warnings.simplefilter("ignore", lmm.FitWarning)  # so few draws
rng = np.random.default_rng(1)
data = pd.DataFrame({"x": rng.normal(size=48), "g": np.repeat(list("abcdefgh"), 6)})
kind = "counts" if "poisson" in family or "binomial" in family else "positive"
data["y"] = rng.gamma(4.0, 0.5, 48) if kind == "positive" else rng.poisson(2.0, 48)
if family == "bernoulli":
    data["y"] = rng.integers(0, 2, 48)
if family == "beta":
    data["y"] = rng.beta(2.0, 2.0, 48)
if family == "vonmises":
    data["y"] = rng.vonmises(0.0, 2.0, 48)
data["n"] = 20
data["y"] = data["y"].clip(upper=20)
left = "p(y, n)" if trials else "y"
model = lmm.Model(f"{left} ~ x + (1 | g)", data, family=family)
post = model.sample(
    method="joint", draws=4, tune=10, chains=1, seed=1, progress=False
)
assert post.idata["posterior"].sizes["draw"] == 4
print("well")
"""


def output_of(
    code: str, folder: Path, *arguments: str, caches: Path | None = None
) -> tuple[str, str]:
    """Stdout and stderr of a fresh process; caches of its own if a folder is given."""
    environment = dict(os.environ)
    if caches is not None:
        environment["NUMBA_CACHE_DIR"] = str(caches / "numba")
        environment["PYTENSOR_FLAGS"] = f"base_compiledir={caches / 'pytensor'}"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_what_others_compile_beside_us_is_theirs(tmp_path):
    """The listener in numba's events broke it, and only where ours was cached."""
    assert output_of(FOREIGN, tmp_path, caches=tmp_path)[0] == "misses 1\n"
    assert output_of(FOREIGN, tmp_path, caches=tmp_path)[0] == "misses 0\n"


def test_the_calls_of_the_readme_leave_nothing_behind(tmp_path):
    """Kernels as cached on this machine; a joint fit after them crashed (weekly)."""
    out, err = output_of(README.replace("JOINT", ""), tmp_path)
    assert out.endswith("well\n")
    assert "Error" not in err


@pytest.mark.slow
def test_the_calls_of_the_readme_with_cold_and_with_warm_caches(tmp_path):
    code = README.replace("JOINT", JOINT)
    cold = output_of(code, tmp_path, caches=tmp_path)
    warm = output_of(code, tmp_path, caches=tmp_path)
    assert cold[0].endswith("well\n")
    assert warm[0].endswith("well\n")
    assert "Compiling kernels" in cold[1]
    assert "Compiling the joint model" in cold[1]
    assert "Compiling kernels" not in warm[1]


@pytest.fixture(scope="module")
def shared_caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["cold", "warm"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_joint_fit_of_each_family(tmp_path, shared_caches, family, cache):
    folder = shared_caches / family  # the warm process comes after the cold one
    assert cache == "cold" or (folder / "numba").exists()
    arguments = (family, str(FAMILIES[family].trials))
    assert "well" in output_of(FAMILY, tmp_path, *arguments, caches=folder)[0]
