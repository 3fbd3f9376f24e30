"""Designs whose residuals have a structure, their dense covariance, and peers' data."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from helpers import Array, dense_Sigma, dense_Z, random_design

from bayeslmm import load_data
from bayeslmm.design.arrays import Design
from bayeslmm.design.residual import ResidualRows, ResidualStructure, Series, Strata

# What the rows of a series are like: word, whether times have holes, or no grid.
KINDS = ("", "ar1", "holes", "uneven", "cs")


def structured_design(
    rng: np.random.Generator, kind: str, *, strata: bool, **options: Any
) -> Design:
    """A random design with strata in all series, and series within the lead's levels.

    One level in four is a series, the others are two; of crossed factors the rows of a
    series have several levels of the second.
    """
    design = random_design(rng, **options)
    n, layout = design.n, options.get("layout", "one")
    lead = 1 if layout == "nested" else 0
    codes = design.rows.codes[lead]
    split = np.where(codes % 4 == 0, 0, rng.integers(0, 2, n))
    _, series = np.unique(2 * codes + split, return_inverse=True)
    structure, rows = ResidualStructure("a test"), ResidualRows()
    if strata:
        names = Strata("s", ("a", "b", "c"), (n, 0, 0))
        structure = replace(structure, strata=names)
        rows = replace(rows, stratum=rng.permutation(np.arange(n) % 3))
    if kind:
        own = Series(
            "cs" if kind == "cs" else "ar1",
            "q",
            tuple(f"q{i}" for i in range(series.max() + 1)),
            time="" if kind == "cs" else "time",
            step=2.0,
            regular=kind != "uneven",
            largest=int(np.bincount(series).max()),
            within=(design.groups[lead].group,),
        )
        time = None if kind == "cs" else times(rng, series, kind)
        structure = replace(structure, series=own)
        rows = replace(rows, series=series, time=time)
    rows = replace(design.rows, residual=rows)
    return replace(design, residual=structure, rows=rows)


def times(rng: np.random.Generator, series: Array, kind: str) -> Array:
    """Different times within each series: steps of 2, with holes, or on no grid."""
    found = np.empty(len(series))
    for s in range(series.max() + 1):
        at = np.flatnonzero(series == s)
        steps = rng.permutation(len(at))
        if kind != "ar1":
            steps = rng.choice(len(at) + 3, len(at), replace=False)
        found[at] = 2.0 * steps
        if kind == "uneven":
            found[at] += rng.choice([0.0, 0.3, 0.7], len(at))
    return found


def residual_values(design: Design, x: Array) -> tuple[Array, float]:
    """Ratio of each stratum to the first, and rho, at coordinates: by the textbook."""
    structure = design.residual
    n = len(structure.strata.levels) - 1 if structure.strata else 0
    ratios, rho = np.append(1.0, np.exp(x[:n])), 0.0
    if structure.series is not None:
        low = {"cs": -1.0 / (structure.series.largest - 1)}.get(
            structure.series.word, -1.0 if structure.series.regular else 0.0
        )
        rho = low + (1.0 - low) / (1.0 + np.exp(-2.0 * x[-1]))
    return ratios, float(rho)


def dense_R(design: Design, x: Array) -> Array:
    """Covariance of the residuals over sigma^2, row by row."""
    ratios, rho = residual_values(design, x)
    rows, n = design.rows.residual, design.n
    R = np.eye(n)
    series = design.residual.series
    for i in range(n):
        for j in range(n):
            if series is None or i == j or rows.series[i] != rows.series[j]:
                continue
            far = 1.0
            if series.word == "ar1":
                far = abs(rows.time[i] - rows.time[j]) / series.step
            R[i, j] = rho**far
    sd = np.ones(n) if rows.stratum is None else ratios[rows.stratum]
    if design.rows.weights is not None:
        sd = sd / np.sqrt(design.rows.weights)
    return R * np.outer(sd, sd)


def dense_structured_V(design: Design, x: Array, factors: Any, sigma: float) -> Array:
    """Covariance of y given beta."""
    Z = np.hstack([dense_Z(design, t) for t in range(len(design.groups))])
    return sigma**2 * dense_R(design, x) + Z @ dense_Sigma(design, factors) @ Z.T


def peer_data(name: str) -> pd.DataFrame:
    """The frames of `reference/nlme.R`."""
    if name == "machines":
        return load_data("Machines")
    sleep = load_data("sleepstudy")
    days = sleep["Days"].to_numpy()
    sleep["half"] = np.where(days < 5, "early", "late")
    if name == "holes":
        return sleep.drop(index=sleep.index[2::7])
    sleep["clock"] = days + ((days * 7) % 5) / 13
    return sleep
