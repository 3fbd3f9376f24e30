"""Parquet to posterior: `python tests/benchmarks/parquet.py [--rows 1e8 --levels 1e6]`.

Makes the file (int32 g, float64 x and y; 20 bytes a row) unless it is there, then times
opening, both passes, REML and the posterior in this one process, and its peak memory.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

GROUP = 1_000_000  # rows of a row group


def make_file(path: Path, rows: int, levels: int) -> None:
    """Random intercepts (SD 0.5), slope 0.5, residual SD 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    b = rng.normal(0.0, 0.5, levels)
    fields = [("g", pa.int32()), ("x", pa.float64()), ("y", pa.float64())]
    schema = pa.schema(fields)
    options = {"compression": "NONE", "use_dictionary": False}
    with pq.ParquetWriter(path, schema, write_page_checksum=True, **options) as writer:
        for start in range(0, rows, GROUP):
            n = min(GROUP, rows - start)
            g = rng.integers(0, levels, n, dtype=np.int32)
            x = rng.normal(size=n)
            y = 1.0 + 0.5 * x + b[g] + rng.normal(size=n)
            writer.write_table(pa.table([g, x, y], schema=schema))


@contextmanager
def step(name: str, rows: int) -> Iterator[None]:
    """Print how long a step took, and the peak memory so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    rate = rows / wall / 1e6
    print(
        f"{name:<10} {wall:7.2f} s  {cpu:7.2f} s CPU  {rate:8.1f} million rows/s  "
        f"peak {peak:6.0f} MB",
        flush=True,
    )


def main() -> None:
    """Measure each step once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e8)
    parser.add_argument("--levels", type=float, default=1e6)
    parser.add_argument("--formula", default="y ~ x + (1 | g)")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--draws", type=int, default=1000, help="0: REML only")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    rows, levels = int(asked.rows), int(asked.levels)
    path = asked.folder / f"bayeslmm-{rows}-{levels}.parquet"
    if not path.exists():
        with step("make file", rows):
            make_file(path, rows, levels)
    start = time.perf_counter()
    with step("import", rows):
        import bayeslmm as lmm
        from bayeslmm.design.reading import n_threads
        from bayeslmm.design.source import open_source
        from bayeslmm.marginal.plan import make_plan
        from bayeslmm.marginal.stream import finish, sum_source
    with step("open", rows):
        source = open_source(path)
        assert source is not None
    with step("levels", rows):
        scan = lmm.scan_rows(asked.formula, path, threads=asked.threads)
    with step("sums", rows):
        plan = make_plan(scan, n_threads(source, asked.threads))
        tally = sum_source(scan, source, plan=plan)
    with step("statistics", rows):
        finish(scan, tally)
        model = lmm.Model.from_tally(scan, tally)
    del tally
    with step("REML", rows):
        print(model.fit_reml().summary())
    if asked.draws:
        with step("posterior", rows):
            posterior = model.sample(draws=asked.draws, seed=1, progress=False)
            print(posterior.summary())
            print(posterior)
    print(f"in all {time.perf_counter() - start:.1f} s; {plan}")


if __name__ == "__main__":
    main()
