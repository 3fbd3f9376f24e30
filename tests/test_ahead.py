"""The process that compiles ahead: the same types, and it ends with its parent."""

import subprocess
import sys

import pytest

import bayeslmm as lmm
from bayeslmm.marginal.kernels import machine
from bayeslmm.marginal.kernels.blocked import draw_levels
from bayeslmm.marginal.kernels.generic import fixed
from bayeslmm.posterior import ahead
from bayeslmm.posterior.kernels.coordinates import spread_draws
from bayeslmm.posterior.target import make_target


@pytest.fixture(scope="module")
def model():
    data = lmm.simulate_classrooms(8, 6, seed=1).data
    return lmm.Model("score ~ edu + (edu | classroom)", data)


def test_what_is_compiled_ahead_is_what_a_posterior_calls(model):
    """Other types would be compiled twice, and nothing gained."""
    model.sample(draws=20, tune=20, chains=1, seed=1, progress=False).ranef()
    ahead.compile_last(type(model.conditioned.statistics.solver).__name__)
    for kernel, arguments in zip(
        (fixed, draw_levels, spread_draws), ahead.signatures(), strict=True
    ):
        assert arguments in kernel.overloads


@pytest.fixture
def target(model):
    return make_target(model.design, model.conditioned, model.priors).compiled


def test_nothing_is_started_where_the_cache_has_a_target(target, monkeypatch):
    started = []
    monkeypatch.setattr(ahead, "_started", started.append)
    monkeypatch.setattr(ahead, "available_cores", lambda: 2)
    monkeypatch.setattr(machine, "is_uncached", lambda _kernel: False)
    with ahead.compiling_ahead(target), ahead.compiling_ahead(None):
        assert started == []


def test_the_process_ends_with_the_block_and_with_its_parent(
    target, monkeypatch, tmp_path
):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(ahead, "_is_worth_it", lambda: True)
    found = []
    start = ahead._started

    def started(solver):
        found.append(start(solver))
        return found[0]

    monkeypatch.setattr(ahead, "_started", started)
    with ahead.compiling_ahead(target):
        assert found[0].poll() is None
    assert found[0].poll() is not None
    orphan = subprocess.Popen(
        [sys.executable, "-m", ahead.MODULE, "Pairs"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, errors = orphan.communicate(timeout=60)  # closes what it reads
    assert (orphan.returncode, errors) == (0, b"")


def test_without_processes_all_is_compiled_here(target, monkeypatch):
    def refused(solver):
        raise OSError("no processes")

    monkeypatch.setattr(ahead, "_is_worth_it", lambda: True)
    monkeypatch.setattr(ahead, "_started", refused)
    with ahead.compiling_ahead(target):
        pass
