"""Data of lessons, and their estimates by inverses of n x n matrices."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayeslmm.comparison.lesson import Lesson
from bayeslmm.design.arrays import rows_of


def unequal_rows() -> pd.DataFrame:
    """Seven levels of 2 to 14 rows, crossed with three items; weights."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(7), [2, 3, 5, 8, 11, 14, 6])
    n = len(g)
    x, item, b = rng.normal(size=n) + 3.0, rng.integers(3, size=n), rng.normal(size=7)
    y = 5.0 + 2.0 * b[g] + (1.0 + 0.5 * b[g] ** 2) * x + 0.7 * item
    return pd.DataFrame(
        {
            "y": y + rng.normal(size=n),
            "x": x,
            "g": [f"g{j}" for j in g],
            "item": [f"i{i}" for i in item],
            "w": rng.uniform(0.5, 2.0, size=n),
        }
    )


@dataclass(frozen=True)
class Columns:
    """Rows of a lesson's model, as matrices: of the group, and of all other factors."""

    y: np.ndarray
    X: np.ndarray
    Z: np.ndarray
    codes: np.ndarray
    others: np.ndarray  # covariance of the rows from other factors
    noise: np.ndarray  # their residual variances


def columns_of(lesson: Lesson) -> Columns:
    """Of the REML fit that a lesson holds."""
    reml, block = lesson.dial.reml, lesson.dial.block
    rows, n = rows_of(reml.design, "dense matrices"), reml.design.n
    Z = np.hstack([rows.Z[t] for t in block.terms])
    others = np.zeros((n, n))
    for t, factor in enumerate(reml.factors):
        if t not in block.terms:
            same = rows.codes[t][:, None] == rows.codes[t]
            others += same * (rows.Z[t] @ factor @ factor.T @ rows.Z[t].T)
    weights = np.ones(n) if rows.weights is None else rows.weights
    codes = rows.codes[block.terms[0]]
    return Columns(rows.y, rows.X, Z, codes, others, reml.sigma**2 / weights)


def covariance_at(lesson: Lesson, sd: float) -> np.ndarray:
    """Of a level's effects where the turned SD is `sd`."""
    sds = lesson.dial.sds.copy()
    sds[lesson.dial.turned[0]] = sd
    return sds[:, None] * lesson.dial.corr * sds


def rows_without(own: Columns, gone: int) -> Columns:
    """The rows of all levels but one."""
    stay = own.codes != gone
    parts = {name: getattr(own, name)[stay] for name in ("y", "X", "Z", "codes")}
    others = own.others[np.ix_(stay, stay)]
    return Columns(**parts, others=others, noise=own.noise[stay])


def with_usual_level(lesson: Lesson, own: Columns, n: int, value: float) -> Columns:
    """The rows with a new level whose products are n times those of the usual row.

    A root of the products of all rows, over their number, is as good as such rows.
    """
    k = own.Z.shape[1]
    whole = np.hstack([own.Z, own.X])
    weights = lesson.dial.reml.sigma**2 / own.noise
    gram = n / len(own.y) * (whole.T * weights) @ whole
    values, turn = np.linalg.eigh(gram)
    root = (turn * np.sqrt(np.maximum(values, 0.0))).T
    dial = lesson.dial
    fitted = dial.estimates(float(dial.sds[dial.turned[0]]))
    away = np.zeros(k)
    center = dial.block.carried @ fitted.beta
    away[dial.turned[0]] = value - center[dial.turned[0]]
    y = root[:, k:] @ fitted.beta + root[:, :k] @ away
    m, old = len(y), len(own.y)
    others = np.zeros((old + m, old + m))
    others[:old, :old] = own.others
    new = np.full(m, own.codes.max() + 1)
    return Columns(
        np.append(own.y, y),
        np.vstack([own.X, root[:, k:]]),
        np.vstack([own.Z, root[:, :k]]),
        np.append(own.codes, new),
        others,
        np.append(own.noise, np.full(m, dial.reml.sigma**2)),
    )


def dense_estimates(
    lesson: Lesson, sd: float, own: Columns
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fixed effects, and each level's turned coefficient, its SE and pooling.

    Of every code up to the largest; one without rows has what the others say.
    """
    cov, at, J = covariance_at(lesson, sd), lesson.dial.turned[0], own.codes.max() + 1
    same = own.codes[:, None] == own.codes
    V = own.others + np.diag(own.noise) + same * (own.Z @ cov @ own.Z.T)
    inv = np.linalg.inv(V)
    C = np.linalg.inv(own.X.T @ inv @ own.X)
    beta = C @ own.X.T @ inv @ own.y
    carried = lesson.dial.block.carried[at]
    coef, se, pooling = np.empty(J), np.empty(J), np.empty(J)
    root = np.linalg.cholesky(cov)
    for j in range(J):
        G = (own.codes == j)[:, None] * own.Z  # n x k
        weights = cov[at] @ G.T @ inv
        coef[j] = carried @ beta + weights @ (own.y - own.X @ beta)
        moves = carried - weights @ own.X
        se[j] = np.sqrt(cov[at, at] - weights @ G @ cov[at] + moves @ C @ moves)
        inner = np.eye(len(cov)) + root.T @ G.T @ np.diag(1.0 / own.noise) @ G @ root
        pooling[j] = (root @ np.linalg.solve(inner, root.T))[at, at] / cov[at, at]
    return beta, coef, se, pooling
