"""Rows in batches: the numbers of memory, and a clear end to every fault."""

import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from bayeslmm import (
    DataError,
    DataWarning,
    FormulaError,
    InputFileError,
    Model,
    ModelError,
    PriorError,
    scan_rows,
    sum_partition,
)
from bayeslmm.design import digits, memory, reading
from bayeslmm.design.arrays import rows_of
from bayeslmm.design.distinct import NumberSet, number_codes
from bayeslmm.design.moments import column_moments
from bayeslmm.design.reading import read_batches
from bayeslmm.design.source import is_large, open_source

EXACT = 1e-10  # the same sums, added up in another order
PEER_OPTIMUM = 1e-6  # two searches of one criterion
ROWS = 600

# The frame loses levels with its missing values, so that the account is tried.
pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.DataWarning")

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (1 | g) + (x || h)",
    "y ~ x * c + (1 | h/g)",
    "y ~ x + (1 | h) + (1 | g:h)",
    "log(u) ~ 0 + c + x + (0 + c | g) + (1 | b)",
    "y ~ scale(x) + poly(z, 3) + (1 | c) + (z | h)",
    'y ~ center(log(u)) + I(h == "a") + offset(z) + (scale(x) | factor(g))',
    "y ~ poly(x, 2, raw=TRUE) + factor(b) + k + (1 | c:h) + (1 | big)",
    "y ~ poly(z, 2, raw=TRUE) + scale(center(x), scale=FALSE) + factor(k) + (1 | w)",
    "y ~ x + (1 | real) + diag(x + z | h)",
]


def make_frame(n: int = ROWS) -> pd.DataFrame:
    """Numbers, flags, strings, categories and ids, with missing values in most."""
    rng = np.random.default_rng(7)
    data = pd.DataFrame(
        {
            "g": rng.integers(-3, 25, n),
            "big": rng.choice([10**17 + 1, 10**17 + 3, 5, -(10**15)], n),
            "real": rng.choice([0.5, 2.0, 7.25], n),
            "h": rng.choice(list("zyxab"), n),
            "c": pd.Categorical(
                rng.choice(["mid", "lo", "hi"], n),
                categories=["lo", "mid", "hi", "never"],
            ),
            "b": rng.random(n) < 0.3,
            "k": rng.integers(0, 9, n).astype(np.uint8),
            "x": rng.normal(50.0, 2.0, n),
            "z": rng.normal(size=n),
            "u": rng.uniform(1.0, 2.0, n),
            "w": rng.choice([0.5, 1.0, 2.0], n),
        }
    )
    data["y"] = 3.0 + 0.5 * data["x"] + rng.normal(size=n)
    data.loc[::17, "x"] = np.nan
    data.loc[5::53, "h"] = None
    data.loc[7::101, "c"] = None
    data.loc[data["g"] == 11, "y"] = np.nan  # a level that no row used has
    return data


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    return make_frame()


@pytest.fixture(scope="session")
def parquet(frame, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "data.parquet"
    frame.to_parquet(path, row_group_size=70)
    return path


def write(path: Path, **columns: object) -> Path:
    """A small Parquet file."""
    pq.write_table(pa.table(columns), path)
    return path


def assert_same_sums(memory: Model, streamed: Model) -> None:
    """Levels, account, cross-products and moments agree."""
    a, b = memory.design, streamed.design
    assert a.account == b.account
    assert (a.fixed, a.n, a.p) == (b.fixed, b.n, b.p)
    for term, theirs in zip(a.groups, b.groups, strict=True):
        for name in ("label", "group", "effects", "levels", "structure", "variables"):
            assert getattr(term, name) == getattr(theirs, name)
    one, other = memory.conditioned.statistics, streamed.conditioned.statistics
    assert type(other.solver) is type(one.solver)
    assert other.log_weights == pytest.approx(one.log_weights, rel=EXACT)
    for name in ("WW", "Fr", "B"):
        close(getattr(other, name), getattr(one, name))
    assert type(other.R) is type(one.R)
    if one.m:
        close(other.R.values, one.R.values)
    assert np.array_equal(one.columns, other.columns)
    for x, y in zip(one.sums.A + one.sums.F, other.sums.A + other.sums.F, strict=True):
        close(y, x)
    m, n = a.moments, b.moments
    for x, y in zip((m.y, m.net, m.X, *m.Z), (n.y, n.net, n.X, *n.Z), strict=True):
        assert x.n == y.n
        for name in ("mean", "products", "low", "high"):
            close(getattr(y, name), getattr(x, name))
    assert all(np.array_equal(x, y) for x, y in zip(m.sizes, n.sizes, strict=True))


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to the rounding of a sum whose largest entry sets the scale."""
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=EXACT, atol=EXACT * scale)


# --- the same numbers as in memory ----------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("weights", [None, "w"])
def test_streamed_equals_memory(frame, parquet, formula, weights):
    memory = Model(formula, frame, weights=weights)
    streamed = Model(formula, parquet, weights=weights)
    assert_same_sums(memory, streamed)
    rows = frame.drop(columns="y").iloc[1:40].dropna()
    ours, theirs = streamed.recipe.encode(rows), memory.recipe.encode(rows)
    close(ours.X, theirs.X)
    for a, b in zip(ours.groups, theirs.groups, strict=True):
        close(a.Z, b.Z)
        assert np.array_equal(a.codes, b.codes)
    # priors are made of moments
    for ours, theirs in zip(streamed.priors.fixed, memory.priors.fixed, strict=True):
        assert dict(ours.args) == pytest.approx(dict(theirs.args), rel=EXACT)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_rounding_only(frame, parquet, threads, monkeypatch):
    monkeypatch.setattr("bayeslmm.design.reading.ROWS_PER_THREAD", 1)
    monkeypatch.setattr("bayeslmm.design.reading.os.cpu_count", lambda: threads)
    monkeypatch.setattr(
        "bayeslmm.design.reading.os.sched_getaffinity",
        lambda _: range(threads),
        raising=False,
    )
    for formula in ("y ~ scale(x) + c + (1 | h/g)", "y ~ x + (1 | g) + (x | h)"):
        streamed = Model(formula, parquet)
        assert streamed.plan is not None
        assert streamed.plan.threads == threads
        assert_same_sums(Model(formula, frame), streamed)


@pytest.mark.parametrize("kind", ["folder", "dataset", "batches", "frames", "function"])
def test_every_source_gives_the_same(frame, kind, tmp_path):
    table = pa.Table.from_pandas(frame)
    parts = [table.slice(start, 130) for start in range(0, ROWS, 130)]
    source: object = [b for part in parts for b in part.to_batches(max_chunksize=50)]
    if kind in ("folder", "dataset"):
        (tmp_path / "more").mkdir()
        for i, part in enumerate(parts):
            pq.write_table(part, tmp_path / ("more" if i % 2 else "") / f"{i}.parquet")
        (tmp_path / "_SUCCESS").touch()
        source = ds.dataset(tmp_path) if kind == "dataset" else str(tmp_path)
        if kind == "dataset":
            (tmp_path / "_SUCCESS").unlink()
    elif kind == "frames":
        source = [frame.iloc[:200], frame.iloc[200:]]
    elif kind == "function":
        batches = source
        source = lambda: iter(batches)  # noqa: E731
    for formula in (FORMULAS[2], FORMULAS[5]):
        assert_same_sums(Model(formula, frame), Model(formula, source))


def test_partitions_of_a_folder_are_columns(frame, tmp_path):
    data = frame.dropna(subset=["h"])
    pq.write_to_dataset(pa.Table.from_pandas(data), tmp_path, partition_cols=["h"])
    formula = "y ~ x + (1 | g) + (1 | h)"
    assert_same_sums(Model(formula, data), Model(formula, tmp_path))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_string_types_are_all_text(frame, kind):
    table = pa.Table.from_pandas(frame[["y", "x", "h"]])
    column = table["h"].cast(pa.string()).cast(kind)
    source = table.set_column(2, "h", column).to_batches(max_chunksize=77)
    formula = "y ~ x + (1 | h)"
    assert_same_sums(Model(formula, frame), Model(formula, source))


def test_dictionaries_of_batches_are_united_in_order():
    def batch(levels: list[str], codes: list[int], y: list[float]) -> pa.RecordBatch:
        column = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), levels)
        return pa.RecordBatch.from_arrays([column, pa.array(y)], names=["g", "y"])

    batches = [
        batch(["q", "p"], [0, 1, 0, 1, 1], [1.0, 2.0, 4.0, 3.0, 1.0]),
        batch(["p", "a", "none"], [0, 1, 1, 0, 1], [2.0, 5.0, 3.0, 1.0, 1.0]),
    ]
    model = Model("y ~ 1 + (1 | g)", batches)
    assert model.design.groups[0].levels == ("q", "p", "a")
    assert model.design.account.unused_levels == {"g": ("none",)}
    whole = pa.Table.from_batches(batches).unify_dictionaries()
    assert_same_sums(Model("y ~ 1 + (1 | g)", whole), model)


def test_types_of_numbers_may_differ_between_files(frame, tmp_path):
    data = frame[["y", "z", "k", "g"]].assign(k=frame["k"].astype(float))
    data.iloc[:300].to_parquet(tmp_path / "a.parquet")
    rest = data.iloc[300:].astype({"z": np.float32, "k": np.int16, "g": np.int32})
    rest.to_parquet(tmp_path / "b.parquet")
    together = data.assign(z=[*data["z"].iloc[:300], *rest["z"].astype(float)])
    formula = "y ~ z + k + (1 | g)"
    assert_same_sums(Model(formula, together), Model(formula, tmp_path))


@given(
    values=st.lists(
        st.lists(st.integers(-(2**40), 2**40) | st.integers(-9, 9), max_size=6),
        max_size=6,
    )
)
def test_distinct_numbers_do_not_depend_on_batches(values):
    found, other = NumberSet(), NumberSet()
    for i, batch in enumerate(values):
        (found if i % 2 else other).see(np.array(batch, dtype=np.int64))
    found.add(other)
    expected = np.unique([v for batch in values for v in batch]).astype(np.int64)
    assert found.values().tolist() == expected.tolist()
    codes = number_codes(expected)
    for batch in values:
        given = np.array(batch, dtype=np.int64)
        assert expected[codes.codes("g", given)].tolist() == batch


@given(
    rows=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1, 1)), min_size=1),
    cut=st.integers(0, 30),
)
def test_moments_add_up(rows, cut):
    values = np.array(rows)
    cut = min(cut, len(values))
    parts = column_moments(values[:cut]) + column_moments(values[cut:])
    assert parts.mean == pytest.approx(values.mean(axis=0), rel=EXACT, abs=1e-6)
    assert parts.sd() == pytest.approx(values.std(axis=0), rel=1e-7, abs=1e-6)
    root = column_moments(values).root()
    second = values.T @ values / len(values)
    assert root.T @ root == pytest.approx(second, rel=1e-9, abs=1e-9)


# --- what is read off a streamed model ------------------------------------------------


@pytest.fixture(scope="session")
def both(frame, parquet) -> tuple[Model, Model]:
    formula = "y ~ x + (x | g) + (1 | h)"
    return Model(formula, frame), Model(formula, parquet)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_reml_and_its_tables_need_no_rows(both, frame):
    memory, streamed = (model.fit_reml() for model in both)
    assert streamed.criterion == pytest.approx(memory.criterion, abs=PEER_OPTIMUM)
    for table in ("summary", "ranef", "coef", "fixef", "varcorr"):
        ours, theirs = getattr(streamed, table)(), getattr(memory, table)()
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5, atol=1e-5)
    for name in ("icc", "r2"):
        ours, theirs = getattr(streamed, name)(), getattr(memory, name)()
        pd.testing.assert_frame_equal(ours, theirs, rtol=0.0, atol=PEER_OPTIMUM)
    rows = frame.iloc[1:40].dropna()
    pd.testing.assert_frame_equal(
        streamed.predict(rows), memory.predict(rows), rtol=0.0, atol=1e-4
    )
    assert streamed.predict(rows, level="population").shape == (len(rows), 4)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_pooling_and_description_need_no_rows(both):
    from bayeslmm import shrinkage_table

    memory, streamed = (shrinkage_table(model.fit_reml()) for model in both)
    pd.testing.assert_frame_equal(streamed, memory, rtol=1e-4, atol=1e-4)
    pd.testing.assert_frame_equal(both[1].describe(), both[0].describe())


@pytest.mark.parametrize("formula", FORMULAS)
def test_frames_batches_and_new_data_have_the_same_rows(frame, parquet, formula):
    """One coding: what is in memory, read again, or put the same way later."""
    memory, streamed = (Model(formula, data, weights="w") for data in (frame, parquet))
    rows, parts = memory.design.rows, list(streamed.read_rows())
    for name in ("y", "X", "weights", "position"):
        found = np.concatenate([getattr(part, name) for part in parts])
        close(found, getattr(rows, name))
    new = memory.recipe.encode(frame.iloc[rows.position])
    close(new.X, rows.X)
    if rows.offset is not None:
        close(np.concatenate([part.offset for part in parts]), rows.offset)
        close(new.offset, rows.offset)
    for t, own in enumerate(new.groups):
        for codes in (np.concatenate([part.codes[t] for part in parts]), own.codes):
            np.testing.assert_array_equal(codes, rows.codes[t])
        for Z in (np.concatenate([part.Z[t] for part in parts]), own.Z):
            close(Z, rows.Z[t])


def test_levels_alike_are_told_of_batches_too():
    """Groups that differ in case only, which frames alone were looked at for."""
    data = pd.DataFrame({"y": np.arange(40.0) % 7, "g": ["north", "North"] * 20})
    with pytest.warns(DataWarning, match=r"'g' has the levels 'North' and 'north'"):
        Model("y ~ 1 + (1 | g)", [data])


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
@pytest.mark.parametrize("formula", FORMULAS)
def test_residuals_in_batches_are_those_of_memory(frame, parquet, formula):
    """At the same estimates; levels that lost all their rows are numbered anew."""
    memory, streamed = Model(formula, frame), Model(formula, parquet)
    fit = memory.fit_reml()
    parts = list(replace(fit, model=streamed).residual_batches())
    assert len(parts) == pq.ParquetFile(parquet).num_row_groups
    table = pd.concat(parts)
    assert table.index.equals(pd.Index(memory.design.rows.position, name="row"))
    close(table["response"].to_numpy(), memory.design.rows.y)
    close(table["fitted"].to_numpy(), fit.fitted())
    close(table["residual"].to_numpy(), fit.residuals())
    (whole,) = fit.residual_batches()
    pd.testing.assert_frame_equal(whole, table, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize(
    "keep", [pytest.param("all", marks=pytest.mark.slow), "summary"]
)
@pytest.mark.usefixtures("user_speed")
def test_residuals_of_a_posterior_in_batches(both, keep):
    memory, streamed = both
    post = memory.sample(draws=20, tune=50, chains=2, seed=1, keep=keep)
    parts = replace(post, model=streamed).residual_batches()
    found = pd.concat(list(parts))["residual"].to_numpy()
    full = memory.sample(draws=20, tune=50, chains=2, seed=1, keep="all")
    assert found == pytest.approx(full.residuals(), rel=EXACT, abs=1e-8)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_residuals_of_rows_that_cannot_be_read_again(frame, parquet, tmp_path):
    formula, path = "y ~ x + (1 | g)", tmp_path / "data.parquet"
    path.write_bytes(parquet.read_bytes())
    fit = Model(formula, path).fit_reml()
    elsewhere = replace(fit, model=pickle.loads(pickle.dumps(fit.model)))
    with pytest.raises(DataError, match=r"does not know where the rows are.*predict"):
        elsewhere.residual_batches()
    path.unlink()
    with pytest.raises(InputFileError, match="no file"):
        list(fit.residual_batches())
    opened = []

    def shrinking() -> Iterator[pd.DataFrame]:
        opened.append(1)
        yield frame if len(opened) < 4 else frame[:500]

    fit = Model(formula, shrinking).fit_reml()
    with pytest.raises(DataError, match=r"500 rows.*fitted to 600.*changed since"):
        list(fit.residual_batches())


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_what_needs_rows_says_so(both, parquet):
    model = both[1]
    fit = model.fit_reml()
    for use in (
        fit.residuals,
        fit.fitted,
        model.to_bambi,
        lambda: model.to_pymc(marginal=True),
        lambda: model.explain(matrices=True),
        lambda: model.sample(method="joint", draws=10),
    ):
        with pytest.raises(DataError, match=r"'data.parquet' were read in batches"):
            use()
    with pytest.raises(PriorError, match=r"brms.*median"):
        Model(model.formula.text, parquet, priors="brms")


def test_a_design_without_rows_says_so(both):
    """No array stands for rows that are not there, pickled or not."""
    memory, streamed = (model.design for model in both)
    assert memory.rows is not None
    assert streamed.rows is None
    for design in (streamed, pickle.loads(pickle.dumps(streamed))):
        with pytest.raises(DataError, match=r"not in memory: maps would need them"):
            rows_of(design, "maps")


def test_the_plan_says_what_is_read(both):
    plan = both[1].plan
    assert plan is not None
    assert plan.n_rows == ROWS
    assert plan.levels == {"g": 27, "h": 5}
    assert "600 rows" in str(plan)
    assert plan.seconds > 0.0
    assert both[0].plan is None


def test_the_plan_is_printed_with_its_time_before_a_long_pass(capsys, monkeypatch):
    monkeypatch.setattr(reading, "POLL", 0.01)
    monkeypatch.setattr(reading, "JUDGE", 0.05)

    def slowly() -> Iterator[pa.RecordBatch]:
        for batch in batches_of(*[GOOD] * 20):
            time.sleep(0.02)
            yield batch

    Model("y ~ x + (1 | g)", slowly, progress=True)
    said = " ".join(capsys.readouterr().err.split())
    plan = r"the batches: 100 rows .*; levels g: 2; g \(2 x 1\); 0 MB; about \d s"
    assert re.fullmatch(plan, said)
    Model("y ~ x + (1 | g)", slowly)
    assert capsys.readouterr().err == ""


def test_streaming_is_for_gaussian_models(parquet):
    with pytest.raises(ModelError, match="read in batches and summed"):
        Model("b ~ x + (1 | g)", parquet, family="bernoulli")


def test_large_files_are_told_by_their_size(parquet, monkeypatch):
    assert not is_large(parquet)
    assert not is_large(parquet.with_suffix(".csv"))
    monkeypatch.setattr("bayeslmm.design.source.LARGE", 100)
    assert is_large(parquet)
    assert is_large(parquet.parent)


# --- parts on several machines --------------------------------------------------------


def test_partitions_add_up(frame, tmp_path):
    formula = "y ~ scale(x) + c + (1 | h/g)"
    for i, start in enumerate(range(0, ROWS, 150)):
        frame.iloc[start : start + 150].to_parquet(tmp_path / f"{i}.parquet")
    scan = pickle.loads(pickle.dumps(scan_rows(formula, tmp_path, weights="w")))
    parts = [sum_partition(scan, path) for path in sorted(tmp_path.iterdir())]
    parts[0] = sum_partition(scan, frame.iloc[:150])  # a frame is a part as well
    assert_same_sums(
        Model(formula, frame, weights="w"),
        Model.from_tally(scan, pickle.loads(pickle.dumps(reduce(add, parts)))),
    )
    with pytest.raises(DataError, match="saw 600 rows, the second 450"):
        Model.from_tally(scan, reduce(add, parts[:3]))


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(frame, tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    for i, start in enumerate(range(0, ROWS, 60)):
        frame.iloc[start : start + 60].to_parquet(tmp_path / f"{i}.parquet")
    formula = "y ~ x + (x | g)"
    scan = scan_rows(formula, tmp_path)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        jobs = client.map(
            _slow_partition, sorted(tmp_path.glob("*.parquet")), scan=scan
        )
        distributed.wait(jobs, return_when="FIRST_COMPLETED")
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        total = client.submit(_sum, jobs).result(timeout=60)
    assert_same_sums(Model(formula, frame), Model.from_tally(scan, total))


def _slow_partition(path: Path, scan: object) -> object:
    """A part that takes long enough for its worker to be killed meanwhile."""
    time.sleep(0.2)
    return sum_partition(scan, path)


def _sum(parts: list) -> object:
    """Sum of all parts."""
    return reduce(add, parts)


# --- faults ---------------------------------------------------------------------------


def batches_of(*frames: dict[str, list]) -> list[pa.RecordBatch]:
    """Arrow batches of some columns each."""
    return [pa.RecordBatch.from_pydict(columns) for columns in frames]


GOOD = {
    "y": [1.0, 2.0, 4.0, 3.0, 2.5],
    "x": [1.0, 2.0, 3.0, 5.0, 4.0],
    "g": list("aabbb"),
}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"y": [1.0], "g": ["a"]}, "Column 'x' is missing from batch 2"),
        (GOOD | {"g": [1, 1, 2, 2, 2]}, "'g' is integer in batch 2 and text"),
        (GOOD | {"x": list("abcde")}, "'x' is text in batch 2 and real"),
        (GOOD | {"x": [1.0, 2.0, np.inf, 1.0, -np.inf]}, "batch 2.*infinite in 2 of 5"),
    ],
)
def test_a_batch_that_does_not_fit(second, message):
    with pytest.raises(DataError, match=message):
        Model("y ~ x + (1 | g)", batches_of(GOOD, second))


def test_a_file_that_does_not_fit(tmp_path):
    write(tmp_path / "1.parquet", **GOOD)
    write(tmp_path / "2.parquet", **(GOOD | {"x": list("abcde")}))
    with pytest.raises(DataError, match=r"'x' is text in row group 0 of '2.parquet'"):
        Model("y ~ x + (1 | g)", tmp_path)
    write(tmp_path / "2.parquet", y=[1.0], g=["a"])
    with pytest.raises(DataError, match=r"'x' is missing from row group 0 of '2.par"):
        Model("y ~ x + (1 | g)", tmp_path)


def test_levels_that_appear_only_in_the_second_pass():
    calls = []

    def changing() -> Iterator[pa.RecordBatch]:
        calls.append(1)
        late = {"g": list("aabbz")} if len(calls) > 2 else {}
        return iter(batches_of(GOOD, GOOD | late))

    with pytest.raises(DataError, match="'g' has the value 'z', which it had not"):
        Model("y ~ x + (1 | g)", changing)
    calls.clear()

    def changing_number() -> Iterator[pa.RecordBatch]:
        calls.append(1)
        codes = {"g": [1, 1, 2, 2, 9 if len(calls) > 2 else 2]}
        return iter(batches_of(GOOD | codes))

    with pytest.raises(DataError, match="'g' has the value 9, which it had not"):
        Model("y ~ x + (1 | g)", changing_number)


def test_an_iterator_can_be_read_only_once():
    batches = batches_of(GOOD, GOOD)
    once = iter(batches)
    with pytest.raises(DataError, match=r"list_iterator can be read.*function"):
        Model("y ~ x + (1 | g)", once)
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    with pytest.raises(DataError, match="RecordBatchReader can be read only once"):
        Model("y ~ x + (1 | g)", reader)
    shared = iter(batches * 3)
    with pytest.raises(DataError, match=r"same list_iterator twice.*inside the func"):
        Model("y ~ x + (1 | g)", lambda: shared)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputFileError, match=r"no file .*none.parquet"):
        Model("y ~ x + (1 | g)", tmp_path / "none.parquet")
    with pytest.raises(InputFileError, match="holds no Parquet file"):
        Model("y ~ x + (1 | g)", tmp_path)
    empty = {name: values[:0] for name, values in GOOD.items()}
    schema = pa.RecordBatch.from_pydict(GOOD).schema
    pq.write_table(pa.table(empty, schema=schema), tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"'empty.parquet' has no rows"):
        Model("y ~ x + (1 | g)", tmp_path / "empty.parquet")
    with pytest.raises(DataError, match="There are no batches"):
        Model("y ~ x + (1 | g)", lambda: iter(()))
    with pytest.raises(DataError, match="gave a int, not an iterable"):
        Model("y ~ x + (1 | g)", lambda: 3)


@pytest.mark.parametrize("damage", ["cut", "middle"])
def test_a_file_that_is_cut_off_or_corrupt(parquet, tmp_path, damage):
    whole = parquet.read_bytes()
    path = tmp_path / "bad.parquet"
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(whole[:4] + b"\xff" * 4000 + whole[4004:])
    with pytest.raises(InputFileError, match=r"bad.parquet' cannot be read as Parquet"):
        Model("y ~ x + (1 | g)", path)


def test_a_byte_that_changed_is_found_by_its_checksum(frame, tmp_path):
    """The values would be numbers still; the writer must have asked for checksums."""
    path = tmp_path / "bad.parquet"
    numbers = pa.Table.from_pandas(frame[["g", "u", "y"]].dropna())
    options = {"use_dictionary": False, "compression": "none"}
    pq.write_table(numbers, path, write_page_checksum=True, **options)
    whole, u = path.read_bytes(), numbers["u"].to_numpy()[100].tobytes()
    path.write_bytes(whole.replace(u, bytes([u[0] ^ 1]) + u[1:], 1))
    with pytest.raises(InputFileError, match=r"corrupt.*CRC checksum"):
        Model("y ~ u + (1 | g)", path)


def test_columns_that_are_not_there(parquet):
    with pytest.raises(FormulaError, match=r"no column 'xx' in 'data.parquet'"):
        Model("y ~ xx + (1 | g)", parquet)
    with pytest.raises(DataError, match=r"no column 'weight'.*to take weights from"):
        Model("y ~ x + (1 | g)", parquet, weights="weight")
    with pytest.raises(DataError, match="weights are a column: give its name"):
        Model("y ~ x + (1 | g)", parquet, weights=np.ones(ROWS))
    with pytest.raises(DataError, match="weights column 'h' does not hold numbers"):
        Model("y ~ x + (1 | g)", parquet, weights="h")


def test_values_that_cannot_be_used(tmp_path):
    def model(formula: str = "y ~ x + (1 | g)", **columns: list) -> Model:
        weights = "w" if "w" in columns else None
        return Model(formula, write(tmp_path / "a.parquet", **columns), weights=weights)

    with pytest.raises(DataError, match=r"w.*: 1 of 5 values is negative"):
        model(**GOOD, w=[1.0, 2.0, -1.0, 1.0, 1.0])
    with pytest.raises(DataError, match="response 'y' is constant"):
        model(**(GOOD | {"y": [2.0] * 5}))
    with pytest.raises(DataError, match="Each of the 5 rows misses a value"):
        model(**(GOOD | {"x": [None] * 5}))
    with pytest.raises(DataError, match="has 1 level"):
        model(**(GOOD | {"g": ["a"] * 5}))
    columns = GOOD | {"z": [2.0 * x + 1.0 for x in GOOD["x"]]}
    with pytest.warns(DataWarning, match=r"linearly dependent: 'z' = .*2 'x'"):
        model("y ~ x + z + (1 | g)", **columns)
    with pytest.raises(DataError, match="is not numeric"):
        model("g ~ x + (1 | y)", **GOOD)
    with pytest.raises(FormulaError, match=r"did you mean \(x \| g\)"):
        model("y ~ x + (g | x)", **GOOD)
    with pytest.raises(DataError, match="no value 'q' to compare with"):
        model('y ~ I(g == "q") + (1 | g)', **GOOD)
    with pytest.raises(DataError, match="more than 3 different values"):
        model("y ~ poly(k, 3) + (1 | g)", **GOOD, k=[1.0, 2.0, 3.0, 1.0, 2.0])
    with pytest.raises(DataError, match="divides by the SD"):
        model("y ~ scale(k) + (1 | g)", **GOOD, k=[1.0] * 5)
    with pytest.raises(DataError, match="infinite or undefined for 1 of 5"):
        model("y ~ log(k) + (1 | g)", **GOOD, k=[0.0, 1.0, 2.0, 1.0, 2.0])
    with pytest.raises(DataError, match=r"row group 0 of 'a.*'k' reaches 1e\+300"):
        model("y ~ k + (1 | g)", **GOOD, k=[1e300, np.nan, 2.0, 1.0, 2.0])
    with pytest.raises(DataError, match="'t' holds timestamp"):
        model("y ~ t + (1 | g)", **GOOD, t=pd.date_range("2020", periods=5))


@pytest.mark.parametrize("far", ["y", "x"])
def test_columns_far_from_zero_are_moved_before_they_are_summed(tmp_path, far):
    """Sigma was 2.35 instead of 1.10, without a word, for y = 1e8 + noise."""
    rng = np.random.default_rng(0)
    g, x = rng.integers(0, 20, ROWS), rng.normal(size=ROWS)
    near = pd.DataFrame({"g": g, "x": x, "y": x + 0.1 * g + rng.normal(size=ROWS)})
    path = tmp_path / "far.parquet"
    near.assign(**{far: near[far] + 1e8}).to_parquet(path)
    theirs = Model("y ~ x + (1 | g)", near).fit_reml().criterion
    ours = Model("y ~ x + (1 | g)", path).fit_reml().criterion
    assert ours == pytest.approx(theirs, abs=PEER_OPTIMUM)
    # without an intercept nothing takes up the move
    with pytest.raises(DataError, match=rf"'{far}' has mean 1e\+08 and SD .*center"):
        Model("y ~ 0 + x + (1 | g)", path)


def test_a_rare_flag_is_not_far_from_zero(tmp_path, monkeypatch):
    """Sums of zeros and ones are exact, however rare one of them is."""
    monkeypatch.setattr(digits, "LARGEST_ROUNDING", 1e-12)
    y, rare = np.random.default_rng(0).normal(size=ROWS), np.arange(ROWS) > 1
    columns = {"y": y - y.mean(), "g": np.arange(ROWS) % 7, "b": rare}
    Model("y ~ 0 + b + (1 | g)", write(tmp_path / "a.parquet", **columns))
    columns["b"] = 5 + rare
    with pytest.raises(DataError, match="'b' has mean"):
        Model("y ~ 0 + b + (1 | g)", write(tmp_path / "b.parquet", **columns))


def test_levels_beyond_memory_are_refused_before_they_are_made(parquet, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000.0)
    with pytest.raises(DataError, match=r"cross-products of the levels.*'g' 28.*GB"):
        Model("y ~ x + (x | g)", parquet)


def test_an_error_in_one_thread_stops_the_others(frame):
    table = pa.Table.from_pandas(frame)
    seen: list[int] = []

    def endless() -> Iterator[pa.RecordBatch]:
        while True:
            yield from table.to_batches(max_chunksize=50)

    def fail(state: list[int], batch: object) -> None:
        seen.append(1)
        if len(seen) == 5:
            raise DataError("the fifth")
        time.sleep(0.001)

    source = open_source(endless)
    assert source is not None
    before = threading.active_count()
    with pytest.raises(DataError, match="the fifth"):
        read_batches(source, ("x",), list, fail, threads=3)
    assert len(seen) < 50
    assert threading.active_count() == before


@pytest.mark.parametrize("opened", [2, 3])
def test_ctrl_c_in_either_pass(opened):
    opens = []

    def endless() -> Iterator[pa.RecordBatch]:
        opens.append(1)
        if len(opens) < opened:
            yield from batches_of(GOOD, GOOD)
            return
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            yield from batches_of(GOOD)

    with pytest.raises(KeyboardInterrupt):
        Model("y ~ x + (1 | g)", endless)
    assert len(opens) == opened
