"""Benchmarks: `python tests/benchmarks/run.py [small|engine|classical|large|all]`.

`run.py coverage --sets 1000`: coverage and width of every interval of a group SD.

small: our posterior against PyMC's and bambi's, two small data sets. engine: one
evaluation, REML and posterior against lme4, public data. experiments: everyday designs
against lme4, PyMC's LKJ model and bambi under nutpie. classical: tests, intervals and
power against R and statsmodels. large: as engine, with 1e3 to 1e7 simulated rows, and
the Parquet file of 1e8 rows of `parquet.py`. Every cell runs in a fresh process.
Nothing here asserts a time. A new case goes into `cases.py`, a new sampler into
`methods.py`. Refits of many responses: `refit.py`. REML of many variance parameters:
`many.py`. How exact weighted points are: `exactness.py`. The first fit on a machine:
`first_use.py`.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

from process import HERE, MARK, ONE_THREAD, heading

SUITES = ("small", "engine", "experiments", "classical", "large")


def report_suite(suite: str, options: argparse.Namespace) -> str:
    """Markdown of one suite."""
    import classical
    import engine
    import experiments
    import small

    if suite == "coverage":
        import sd_coverage

        return sd_coverage.report(options)
    own = {"small": small, "classical": classical, "experiments": experiments}
    if suite in own:
        return own[suite].report(options)
    text = engine.report(suite, options)
    if suite == "large" and options.parquet_rows:
        text += f"\n\n{report_parquet(options.parquet_rows)}"
    return text


def report_parquet(rows: float) -> str:
    """What `parquet.py` prints, as it is."""
    command = [sys.executable, str(HERE / "parquet.py"), "--rows", f"{rows:.0f}"]
    command += ["--levels", f"{rows / 100:.0f}"]
    done = subprocess.run(
        command,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout if done.returncode == 0 else done.stderr[-2000:]
    return f"Parquet, {rows:.0e} rows:\n\n```text\n{printed.rstrip()}\n```"


def read_options() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "suite", nargs="?", default="all", choices=[*SUITES, "coverage", "all", "cell"]
    )
    parser.add_argument("--sets", type=int, default=1000, help="coverage: responses")
    parser.add_argument("--markdown", type=Path, help="file for the tables")
    parser.add_argument("--methods", nargs="*", help="small, experiments: only these")
    parser.add_argument("--cases", nargs="*", help="others: names that contain these")
    parser.add_argument("--parquet-rows", type=float, default=1e8, help="0: none")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--cores", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--call", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Read the command line."""
    options = read_options()
    if options.suite == "cell":
        name, arguments = json.loads(options.call)
        module, _, function = name.partition(".")
        found = getattr(importlib.import_module(module), function)(**arguments)
        print(MARK + json.dumps(found))
        return
    suites = SUITES if options.suite == "all" else (options.suite,)
    parts = [heading(os.getloadavg()[0])]
    for suite in suites:
        parts.append(f"### {suite}\n\n{report_suite(suite, options)}")
        print(parts[-1] + "\n", flush=True)
        if options.markdown:  # after each suite: a long run may be stopped
            options.markdown.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
