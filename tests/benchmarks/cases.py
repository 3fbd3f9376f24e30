"""What is fitted: data and formulas."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import bayeslmm as lmm

if TYPE_CHECKING:
    import pandas as pd

BAYESIAN = ("ours", "pymc-lkj-nutpie", "pymc-lkj", "bambi")
ROWS_PER_GROUP = 100  # on average
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)  # rows
LARGEST_OF_LME4 = 10**6


@dataclass(frozen=True, slots=True)
class Case:
    """One data set with one formula, and the samplers that can fit it.

    ``in_lme4`` is false where that would take too long.
    """

    name: str
    suite: str
    formula: str
    load: Callable[[], "pd.DataFrame"]
    methods: tuple[str, ...] = ()
    in_lme4: bool = True


def simulated(rows: int, effects: int) -> "pd.DataFrame":
    """y, x1, x2 and g: groups of 81 to 120 rows, `effects` effects in each.

    SDs 0.5, 0.3, 0.3 without correlation, residual SD 1; whatever the number of rows,
    the sizes of the groups are the same 40 numbers over and over.
    """
    import pandas as pd

    rng = np.random.default_rng(rows + effects)
    n_groups = rows // ROWS_PER_GROUP
    sizes = 81 + np.arange(n_groups) % 40
    g = np.repeat(np.arange(n_groups, dtype=np.int32), sizes)
    g = np.resize(g, rows)
    Z = np.column_stack([np.ones(rows), rng.normal(size=(rows, effects - 1))])
    b = rng.normal(size=(n_groups, effects)) * np.array([0.5, 0.3, 0.3])[:effects]
    y = Z.sum(axis=1) + np.einsum("ij,ij->i", Z, b[g]) + rng.normal(size=rows)
    columns = {f"x{j}": Z[:, j] for j in range(1, effects)}
    return pd.DataFrame({"y": y, **columns, "g": g})


def experiment(
    subjects: int, items: int, *, lists: bool = False, missing: float = 0.0
) -> "pd.DataFrame":
    """rt, condition, subj and item: everybody sees every item in both conditions.

    With `lists` in one, by a Latin square of two lists; `missing` is the share of rows
    that are lost at random.
    """
    import pandas as pd

    rng = np.random.default_rng(subjects + items)
    s, i, c = (own.ravel() for own in np.mgrid[:subjects, :items, :2])
    kept = (s + i) % 2 == c if lists else np.ones(len(s), bool)
    kept &= rng.random(len(s)) >= missing
    s, i, condition = s[kept], i[kept], c[kept] - 0.5
    bs = rng.normal(size=(subjects, 2)) * [80.0, 30.0]
    bi = rng.normal(size=(items, 2)) * [50.0, 20.0]
    slope = 40.0 + bs[s, 1] + bi[i, 1]
    rt = 600.0 + bs[s, 0] + bi[i, 0] + condition * slope
    return pd.DataFrame(
        {
            "rt": rt + 120.0 * rng.normal(size=len(s)),
            "condition": condition,
            "subj": pd.Categorical([f"s{own:02d}" for own in s]),
            "item": pd.Categorical([f"i{own:02d}" for own in i]),
        }
    )


def nested(areas: int, schools: int, classes: int, pupils: int) -> "pd.DataFrame":
    """y, x and three levels, one in the other, labelled apart; x varies by pupil."""
    import pandas as pd

    rng = np.random.default_rng(areas + schools + classes)
    shape = (areas, schools, classes, pupils)
    a, s, c, _ = (own.ravel() for own in np.mgrid[tuple(map(slice, shape))])
    s, c = s + schools * a, c + classes * (s + schools * a)
    x = rng.normal(size=len(a))
    slope = 1.0 + 0.4 * rng.normal(size=areas * schools)[s]
    y = 0.6 * rng.normal(size=areas)[a] + 0.8 * rng.normal(size=areas * schools)[s]
    y += 0.5 * rng.normal(size=areas * schools * classes)[c] + slope * x
    names = {"area": a, "school": s, "klass": c}
    labels = {
        k: pd.Categorical([f"{k[0]}{i:03d}" for i in v]) for k, v in names.items()
    }
    return pd.DataFrame({"y": y + rng.normal(size=len(a)), "x": x, **labels})


NESTED = "y ~ x + (1 | area) + (x | school) + (1 | klass)"
SLOPES = "rt ~ condition + (condition | subj) + (condition | item)"
ON_ONE = "rt ~ condition + (condition | subj) + (1 | item)"
NONE = "rt ~ condition + (1 | subj) + (1 | item)"


def _experiment(name: str, formula: str, *size: int, **design: object) -> Case:
    """A crossed experiment."""
    load = partial(experiment, *size, **design)  # pyright: ignore[reportArgumentType]
    return Case(name, "experiments", formula, load)


def _simulated_case(rows: int, effects: int) -> Case:
    """Simulated rows with 1 to 3 correlated effects per group."""
    right = " + ".join(["1", *(f"x{j}" for j in range(1, effects))])
    return Case(
        name=f"{rows:.0e} rows, {effects} effect{'s' * (effects > 1)}".replace(
            "e+0", "e"
        ),
        suite="large",
        formula=f"y ~ {right} + ({right} | g)",
        load=lambda: simulated(rows, effects),
        in_lme4=rows <= LARGEST_OF_LME4,
    )


def _public(
    name: str,
    data: str,
    formula: str,
    methods: tuple[str, ...] = (),
) -> Case:
    """A case of `load_data`."""
    return Case(name, "engine", formula, lambda: lmm.load_data(data), methods)


CASES = (
    _public(
        "sleepstudy",
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        BAYESIAN,
    ),
    _public(
        "classroom",
        "score_parentedu_byclass",
        "score ~ edu + (edu | classroom)",
        BAYESIAN,
    ),
    _public("Penicillin", "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    _public("Pastes", "Pastes", "strength ~ 1 + (1 | batch / cask)"),
    _public("Machines", "Machines", "score ~ Machine + (0 + Machine | Worker)"),
    _public("InstEval A", "InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept)"),
    _public("InstEval B", "InstEval", "y ~ service * dept + (1 | s) + (1 | d)"),
    _experiment("30 x 24, slopes on both", SLOPES, 30, 24),
    _experiment("30 x 24, 5% missing", SLOPES, 30, 24, missing=0.05),
    _experiment("30 x 24, two lists", SLOPES, 30, 24, lists=True),
    _experiment("30 x 24, slopes on one", ON_ONE, 30, 24),
    _experiment("30 x 24, intercepts", NONE, 30, 24),
    _experiment("20 x 16, two lists", SLOPES, 20, 16, lists=True),
    _experiment("60 x 80, two lists", SLOPES, 60, 80, lists=True),
    _experiment("60 x 80, 5% missing", SLOPES, 60, 80, missing=0.05),
    _experiment("60 x 80, two lists, slopes on one", ON_ONE, 60, 80, lists=True),
    _experiment("60 x 80, two lists, intercepts", NONE, 60, 80, lists=True),
    Case("nested, slope", "experiments", NESTED, partial(nested, 12, 5, 3, 15)),
    *(_simulated_case(rows, effects) for effects in (1, 2, 3) for rows in SIZES),
)


def find_case(name: str) -> Case:
    """Case of a name."""
    return next(case for case in CASES if case.name == name)
