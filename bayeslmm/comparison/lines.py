"""Regression lines of single levels, own, pooled and partial, on one predictor.

Takes a `RemlFit`, perhaps a `Posterior`, and some levels of a grouping factor; gives
the rows of these levels and three lines through them. What else varies within a level
is held at its mean there, in the lines as in the points.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bayeslmm.comparison.blocks import Block, fixed_draws, level_draws
from bayeslmm.comparison.pairs import check_same_model
from bayeslmm.comparison.shrinkage import shrinkage_table
from bayeslmm.design.arrays import rows_of
from bayeslmm.design.evaluate import Column, NumericColumn
from bayeslmm.errors import ModelError, check_text, nearest_names
from bayeslmm.posterior.tables import check_interval
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

MOST_STEPS = 60  # places along a line; at the values of the predictor if they are fewer
UNCHANGED = 1e-9  # in SDs of y; points that move less are the response
KINDS = {
    "own": "no_pooling",
    "pooled": "complete_pooling",
    "partial": "partial_pooling",
}
NAMES = re.compile(r"[^\W\d][\w.]*(?![\w.]*\s*\()")  # of columns, not of functions
ENTRY = re.compile(r"\[[^\[\]]*\]")


@dataclass(frozen=True, slots=True)
class Predictor:
    """What is on the x axis.

    ``values`` (n,), of all rows used; of a factor 0, 1, 2 ... for its ``levels``, which
    are empty for a number. ``name`` is "" for the order of the rows in their level.
    """

    name: str
    values: Float[np.ndarray, " n"]
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LevelLines:
    """Rows and lines of some levels.

    Attributes
    ----------
    points : DataFrame
        A row for each row of the data: ``level`` (position), ``x``, ``y``: the
        response, less what the fit says of columns that vary within the level and are
        not on the x axis.
    lines : DataFrame
        ``level``, ``x``; ``own`` (NaN where its rows do not identify it), ``pooled``,
        ``partial``; with a posterior ``lower``, ``upper`` of ``partial``. Units of y.
    adjusted : bool
        Whether the points differ from the response.
    """

    points: pd.DataFrame
    lines: pd.DataFrame
    adjusted: bool


@dataclass(frozen=True, slots=True)
class LineColumns:
    """The line of a level as a function of its coefficients: ``rest + Z @ coef``.

    At ``x`` (g,); ``Z`` (g, k); ``rest`` (g,), units of y: all that the fit says beside
    the coefficients, held.
    """

    x: Float[np.ndarray, " g"]
    Z: Float[np.ndarray, "g k"]
    rest: Float[np.ndarray, " g"]


def find_predictor(model: ModelSpec, block: Block, name: str | None) -> Predictor:
    """The predictor of a name; by default the first that varies by level, else any.

    Raises
    ------
    ModelError
        If it is none of this model.
    """
    codes = rows_of(model.design, "the rows of each level").codes[block.terms[0]]
    known = {
        label: column
        for label, column in model.recipe.coding.variables.items()
        if isinstance(column, Column)
        and label != model.design.response
        and not (isinstance(column, NumericColumn) and column.values.shape[1] > 1)
    }
    if name is None:
        columns = (*block.effects, *model.design.fixed_names)
        varying = [_without_entries(column) for column in columns]
        name = next((label for label in varying if label in known), None)
    if name is None:
        order = np.argsort(codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(block.sizes)[:-1]])
        place = np.empty(len(codes))
        place[order] = np.arange(len(codes)) - starts[codes[order]]
        return Predictor("", place)
    if check_text(name, "predictor") not in known:
        raise ModelError(
            f"predictor={name!r} is no predictor of this model."
            f"{nearest_names(name, known)}"
        )
    column = known[name]
    if isinstance(column, NumericColumn):
        return Predictor(name, np.asarray(column.values[:, 0], dtype=float))
    return Predictor(name, np.asarray(column.codes, dtype=float), column.levels)


def level_lines(
    reml: "RemlFit",
    post: "Posterior | None",
    block: Block,
    levels: Int[np.ndarray, " s"],
    predictor: Predictor,
    prob: float,
) -> LevelLines:
    """Rows and lines of some levels.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior or None
        Posterior of the same model, for the band.
    block : Block
        The grouping factor, intercepts at zero.
    levels : ndarray, shape (s,)
        Positions of the levels.
    predictor : Predictor
        What is on the x axis.
    prob : float
        Probability of the band, equal-tailed.

    Returns
    -------
    LevelLines
        In units of y and of the predictor.
    """
    check_interval(prob, "eti")
    if post is not None:
        check_same_model(reml, post)
    design, residuals = reml.model.design, reml.residuals()
    all_rows = rows_of(design, "the rows of each level")
    codes, estimates = all_rows.codes[block.terms[0]], _estimates(reml, block)
    told = _told(reml, block, predictor, estimates["partial"])
    points, lines = [], []
    for level in levels.tolist():
        rows = np.flatnonzero(codes == level)
        x = predictor.values[rows]
        Z, rest = told.parts(rows, x)
        said = rest + Z @ estimates["partial"][level]
        points.append(
            pd.DataFrame({"level": level, "x": x, "y": said + residuals[rows]})
        )
        grid = told.held.grid(rows)
        Z, rest = told.parts(rows, grid)
        line: dict[str, object] = {"level": level, "x": grid}
        for kind, of_levels in estimates.items():
            line[kind] = rest + Z @ of_levels[level]
        if post is not None:
            X, _ = told.held.columns(rows, grid)
            constant = told.constant(rows)
            line |= _band(post, block, level, X, Z, prob, constant)
        lines.append(pd.DataFrame(line))
    found = pd.concat(points, ignore_index=True)
    used = np.concatenate([np.flatnonzero(codes == level) for level in levels])
    moved = np.abs(found["y"].to_numpy() - all_rows.y[used]).max()
    adjusted = bool(moved > UNCHANGED * design.moments.y.sd()[0])
    return LevelLines(found, pd.concat(lines, ignore_index=True), adjusted)


def line_columns(
    reml: "RemlFit", block: Block, levels: Int[np.ndarray, " s"], predictor: Predictor
) -> list[LineColumns]:
    """The lines of some levels for any coefficients; straight ones by their ends."""
    codes = rows_of(reml.model.design, "the rows of each level").codes[block.terms[0]]
    told = _told(reml, block, predictor, _estimates(reml, block)["partial"])
    found = []
    for level in levels.tolist():
        rows = np.flatnonzero(codes == level)
        x = told.held.grid(rows)
        Z, rest = told.parts(rows, x)
        ends = [0, -1] if len(x) > 1 else [0]
        if not predictor.levels and _is_straight(x, np.column_stack([Z, rest])):
            x, Z, rest = x[ends], Z[ends], rest[ends]
        found.append(LineColumns(x, Z, rest))
    return found


def _is_straight(x: Float[np.ndarray, " g"], columns: Float[np.ndarray, "g c"]) -> bool:
    """Whether all columns are straight lines over x."""
    share = (x - x[0]) / ((x[-1] - x[0]) or 1.0)
    between = columns[0] + share[:, None] * (columns[-1] - columns[0])
    size = np.abs(columns).max(axis=0)
    return bool((np.abs(columns - between) <= UNCHANGED * size).all())


@dataclass(frozen=True, slots=True)
class _Told:
    """What a fit says of rows beside the coefficients of one grouping factor.

    ``common`` (p,) are the fixed effects of columns that do not vary in it, ``other``
    (n,) what else the fit says of each row.
    """

    held: "_Held"
    common: Float[np.ndarray, " p"]
    other: Float[np.ndarray, " n"]

    def constant(self, rows: Int[np.ndarray, " r"]) -> float:
        """The mean of the rest in a level."""
        return float(self.other[rows].mean())

    def parts(
        self, rows: Int[np.ndarray, " r"], at: Float[np.ndarray, " g"]
    ) -> tuple[Float[np.ndarray, "g k"], Float[np.ndarray, " g"]]:
        """Columns of the coefficients, and all else, the predictor at these values."""
        X, Z = self.held.columns(rows, at)
        return Z, X @ self.common + self.constant(rows)


def _told(
    reml: "RemlFit",
    block: Block,
    predictor: Predictor,
    partial: Float[np.ndarray, "j k"],
) -> _Told:
    """The same of a REML fit with these coefficients of the levels."""
    common = np.where(block.common, reml.beta, 0.0)
    rows = rows_of(reml.model.design, "the rows of each level")
    held = _Held(reml.model, block, predictor)
    other = reml.fitted() - rows.X @ common
    other -= np.einsum("nk,nk->n", held.Z, partial[rows.codes[block.terms[0]]])
    return _Told(held, common, other)


def _estimates(reml: "RemlFit", block: Block) -> dict[str, Float[np.ndarray, "j k"]]:
    """Coefficients of every level under each kind of pooling."""
    table = shrinkage_table(reml)
    table = table[table["group"] == block.group]
    shape = (len(block.levels), len(block.effects))
    return {
        kind: table[column].to_numpy().reshape(shape) for kind, column in KINDS.items()
    }


def _band(
    post: "Posterior",
    block: Block,
    level: int,
    X: Float[np.ndarray, "g p"],
    Z: Float[np.ndarray, "g k"],
    prob: float,
    constant: float,
) -> dict[str, object]:
    """Posterior interval of the line of one level."""
    on_beta = Z @ block.carried + np.where(block.common, X, 0.0)
    random = level_draws(post, block, [level])[:, 0] @ Z.T
    drawn = fixed_draws(post, block) @ on_beta.T + random + constant
    lower, upper = np.quantile(drawn, [0.5 - prob / 2, 0.5 + prob / 2], axis=0)
    return {"lower": lower, "upper": upper}


class _Held:
    """Columns of a level where the predictor moves and all else stays at its mean."""

    __slots__ = ("X", "Z", "first", "of_x", "of_z", "places", "predictor")

    def __init__(self, model: ModelSpec, block: Block, predictor: Predictor) -> None:
        design = model.design
        rows = rows_of(design, "the rows of each level")
        self.X, self.predictor = rows.X, predictor
        self.places, self.first = np.unique(predictor.values, return_index=True)
        self.Z = np.hstack([rows.Z[t] for t in block.terms])
        own = _names(predictor.name)
        self.of_x = [_relation(name, own) for name in design.fixed_names]
        self.of_z = [_relation(effect, own) for effect in block.effects]

    def columns(
        self, rows: Int[np.ndarray, " r"], at: Float[np.ndarray, " g"]
    ) -> tuple[Float[np.ndarray, "g p"], Float[np.ndarray, "g k"]]:
        """Columns of X and Z of a level's rows, the predictor at these values."""
        X = self._of(self.X, self.of_x, rows, at)
        return X, self._of(self.Z, self.of_z, rows, at)

    def _of(
        self,
        columns: Float[np.ndarray, "n c"],
        relations: list[str],
        rows: Int[np.ndarray, " r"],
        at: Float[np.ndarray, " g"],
    ) -> Float[np.ndarray, "g c"]:
        """The same for the columns of X or of Z."""
        x = self.predictor.values
        found = np.tile(columns[rows].mean(axis=0), (len(at), 1))
        for c, relation in enumerate(relations):
            if relation == "function":
                found[:, c] = np.interp(at, self.places, columns[self.first, c])
            elif relation == "product" and np.ptp(x[rows]) > 0.0:
                slope, start = np.polyfit(x[rows], columns[rows, c], 1)
                found[:, c] = start + slope * at
        return found

    def grid(self, rows: Int[np.ndarray, " r"]) -> Float[np.ndarray, " g"]:
        """Where a level's lines are computed: over the predictor's whole range."""
        x = self.predictor.values
        places = self.places if self.predictor.name else np.unique(x[rows])
        if len(places) <= MOST_STEPS or self.predictor.levels:
            return places
        return np.linspace(places[0], places[-1], MOST_STEPS)


def _relation(column: str, predictor: set[str]) -> str:
    """Whether a column is a function of the predictor, a product with it, or other."""
    names = _names(column)
    if names & predictor:
        return "function" if names <= predictor else "product"
    return "other"


def _names(column: str) -> set[str]:
    """Names of the variables in the label of a column."""
    return set(NAMES.findall(_without_entries(column)))


def _without_entries(column: str) -> str:
    """``Machine`` of ``Machine[B]``."""
    return ENTRY.sub("", column)
