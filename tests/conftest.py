"""Settings of every test: one BLAS thread, Hypothesis profile, public data by name."""

import functools
import importlib
import os
import signal

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for (
    variable
) in THREAD_VARIABLES:  # before numpy, and for the processes that tests start
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "agg")
# A shell without job control starts what runs in the background deaf to Ctrl-C, and
# then the tests of Ctrl-C never end.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from collections.abc import Callable, Generator, Iterator  # noqa: E402
from contextlib import nullcontext  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import threadpoolctl  # noqa: E402
import typechecks  # noqa: E402

if TYPE_CHECKING:
    import pandas as pd
    from report_cases import Fits

    from bayeslmm import Model

# pytest plug-ins load numpy before this file is read: too late for the variables.
threadpoolctl.threadpool_limits(limits=1)

hypothesis.settings.register_profile(
    "bayeslmm",
    deadline=None,  # the first call of a kernel compiles it
    max_examples=25,
    print_blob=True,
    derandomize=True,  # a red run is red again; the weekly run looks further
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "weekly",
    hypothesis.settings.get_profile("bayeslmm"),
    max_examples=500,
    derandomize=False,
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "bayeslmm"))


@pytest.fixture(autouse=True, scope="session")
def compiled_kernels() -> None:
    """One route in each process from its first test: which one would depend on order.

    `test_plain` has the other one, and tests that start processes.
    """
    from bayeslmm.marginal.kernels.compiling import end_plain

    end_plain()


def pytest_runtest_logstart() -> None:
    """Each test has its own count of the calls whose types are checked."""
    typechecks.start_test()


class DocExamples:
    """Examples of docstrings run as a user runs them: no run-time checks of types."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """They show a way to call; what is called is checked by the tests."""
        from sampling import unchecked

        with unchecked() if isinstance(item, pytest.DoctestItem) else nullcontext():
            return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """As a plug-in: hooks of this file see the tests beside it alone."""
    config.pluginmanager.register(DocExamples())


@pytest.fixture(scope="session")
def public_data() -> Callable[[str], "pd.DataFrame"]:
    """Public data set by name; skips where it cannot be had, fails if promised."""
    return _load_or_skip


@pytest.fixture(scope="session")
def sleepstudy() -> "pd.DataFrame":
    """Reaction times of 18 subjects over 10 days (lme4)."""
    return _load_or_skip("sleepstudy")


@pytest.fixture(scope="session")
def classrooms() -> "pd.DataFrame":
    """Scores of 60 pupils in 3 classrooms against their parents' education."""
    return _load_or_skip("score_parentedu_byclass")


@pytest.fixture(scope="session")
def gaps() -> "Model":
    """Model of 12 simulated classrooms of 20, 4 rows dropped for missing values."""
    from bayeslmm import Model, simulate_classrooms

    data = simulate_classrooms(12, 20, seed=4).data
    data.loc[:2, "score"] = float("nan")
    data.loc[5, "edu"] = float("nan")
    return Model("score ~ edu + (edu | classroom)", data)


@pytest.fixture(scope="session")
def gaps_fits(gaps: "Model") -> "Fits":
    """Both fits of these classrooms."""
    from report_cases import Fits
    from sampling import sample_unchecked

    post = sample_unchecked(gaps, draws=250, chains=2, seed=1)
    return Fits(gaps, gaps.fit_reml(), post)


@pytest.fixture
def user_speed() -> Iterator[None]:
    """No run-time checks of types: for many fits, of functions that others check."""
    from sampling import unchecked

    with unchecked():
        yield


@pytest.fixture
def plain_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty figures in folders: for what is not about what is drawn."""
    from matplotlib.figure import Figure

    def empty(_reml: object, post: object) -> Iterator[tuple[str, str, Figure]]:
        for name in ("check",) if post is None else ("trace", "check"):
            yield name, "", Figure()

    monkeypatch.setattr("bayeslmm.reporting.figures.all_figures", empty)


@pytest.fixture
def plain_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report without a word in folders: for what is not about what it says."""
    save = importlib.import_module("bayeslmm.reporting.save")
    monkeypatch.setattr(save, "write_report", lambda _, path, *__: path.touch())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def pupils() -> "pd.DataFrame":
    """Simulated pupils with columns that models must refuse."""
    import cli_cases

    return cli_cases.pupils()


@pytest.fixture
def csv(folder: Path, pupils: "pd.DataFrame") -> Path:
    """The pupils as a CSV file in the working folder."""
    pupils.to_csv("pupils.csv", index=False)
    return Path("pupils.csv")


@functools.cache
def _find(name: str) -> "pd.DataFrame | None":
    """The data set, None where it cannot be had; asked for once in a session."""
    from bayeslmm import InputFileError, load_data

    try:
        return load_data(name)
    except InputFileError:
        if os.environ.get("BAYESLMM_DATA"):
            raise
        return None


def _load_or_skip(name: str) -> "pd.DataFrame":
    """A copy of the data set; skips unless BAYESLMM_DATA promises it."""
    found = _find(name)
    if found is None:
        pytest.skip(f"{name!r}: no BAYESLMM_DATA, not cached, and no network")
    return found.copy()
