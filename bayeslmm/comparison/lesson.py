"""All numbers of a lesson on one SD: what `reporting.lesson` makes a page of.

Takes a REML fit, perhaps a posterior of the same model, a grouping factor and one of
its effects; gives the dial with its equations, the levels that are shown with their
rows and lines, the marks of REML, ML and posterior, and what is held or left out.
"""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.linalg import block_diag

from bayeslmm.comparison.blocks import find_block
from bayeslmm.comparison.dial import Dial, Estimates, find_dial
from bayeslmm.comparison.lesson_curve import SdCurve, sd_curve
from bayeslmm.comparison.lesson_equations import LessonEquations, lesson_equations
from bayeslmm.comparison.lesson_left_out import WithoutLevels, without_levels
from bayeslmm.comparison.lines import (
    LineColumns,
    Predictor,
    find_predictor,
    level_lines,
    line_columns,
)
from bayeslmm.comparison.pairs import check_same_model
from bayeslmm.comparison.path import held_words
from bayeslmm.comparison.shrinkage import shrinkage_table
from bayeslmm.covariance import factor_to_sd_corr
from bayeslmm.errors import BayesLMMWarning, ModelError, check_fraction
from bayeslmm.reml import fit_reml
from bayeslmm.reml.fit import RemlFit

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

MOST_LEVELS = 200
LARGEST = 199.0  # times the scale of the dial: the end of the slider
MOST_POINTS, MOST_ROWS = 4_000, 60  # rows drawn, of all levels and of each
MOST_PLACES = 13  # along a curve


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows and line of a level, as `LevelLines` and `LineColumns` have them."""

    x: Float[np.ndarray, " r"]
    y: Float[np.ndarray, " r"]
    line: LineColumns


@dataclass(frozen=True, slots=True)
class Marks:
    """Values of the SD; NaN where there is none."""

    reml: float
    ml: float
    median: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """Numbers of a lesson.

    Attributes
    ----------
    dial : Dial
        What is turned, one effect.
    post : Posterior or None
        Of the same model.
    prob : float
        Probability of all intervals.
    scale : float
        SD in the middle of the slider.
    shown : ndarray of int, shape (s,)
        Positions of the levels on the page.
    equations : LessonEquations
        Theirs.
    own : ndarray, shape (j,)
        Each level's own estimate of the effect; NaN where it has none.
    marks : Marks
        On the axis of the SD.
    curve : SdCurve or None
        Posterior of the SD; None where there is none in closed form.
    without : WithoutLevels or None
        The same without each level shown, where all else can be integrated out.
    predictor : Predictor or None
        On the x axis of the panels; None without rows in memory.
    panels : tuple of Panel
        One for each level shown; empty without rows in memory.
    adjusted : bool
        Whether the rows are less what the fit says of other columns.
    """

    dial: Dial
    post: "Posterior | None"
    prob: float
    scale: float
    shown: Int[np.ndarray, " s"]
    equations: LessonEquations
    own: Float[np.ndarray, " j"]
    marks: Marks
    curve: SdCurve | None
    without: WithoutLevels | None
    predictor: Predictor | None
    panels: tuple[Panel, ...]
    adjusted: bool

    @property
    def effect(self) -> str:
        """The effect whose SD is turned."""
        return self.dial.block.effects[self.dial.turned[0]]

    @property
    def at_fit(self) -> Estimates:
        """All estimates at the SD of the fit."""
        return self.dial.estimates(float(self.dial.sds[self.dial.turned[0]]))

    @property
    def fewest(self) -> int:
        """The shown level with the fewest rows; of several that which moved most."""
        shown, at = self.shown, self.dial.turned[0]
        moved = np.abs(self.own[shown] - self.at_fit.coef[shown, at])
        moved = np.nan_to_num(moved, nan=-1.0)
        return int(shown[np.lexsort((-moved, self.dial.block.sizes[shown]))[0]])

    @property
    def halfway(self) -> float:
        """The SD at which the median of the pooling is a half; NaN without one."""
        from scipy.optimize import root_scalar  # 0.07 s

        def excess(log_sd: float) -> float:
            pooling = self.dial.estimates(math.exp(log_sd)).pooling
            return float(np.median(pooling[:, self.dial.turned[0]])) - 0.5

        ends = math.log(self.scale / LARGEST), math.log(self.scale * LARGEST)
        if not excess(ends[0]) > 0.0 > excess(ends[1]):
            return math.nan
        return math.exp(root_scalar(excess, bracket=ends, xtol=1e-6).root)

    @property
    def held(self) -> str:
        """What does not move, in words."""
        return held_words(self.dial, None)


def find_lesson(
    reml: RemlFit,
    post: "Posterior | None",
    term: str | None = None,
    effect: str | None = None,
    prob: float = 0.95,
) -> Lesson:
    """All numbers of a lesson.

    Parameters
    ----------
    reml : RemlFit
        What is held.
    post : Posterior or None
        Of the same model.
    term : str, optional
        Grouping factor or term; the first one by default.
    effect : str, optional
        Whose SD is turned; by default the first beside the intercept, if there is one.
    prob : float
        Probability of all intervals.

    Raises
    ------
    ModelError
        If there is no such term or effect, the SDs of several effects are one, the fits
        are of different models, or the page would be too large.
    """
    check_fraction(prob, "prob")
    if post is not None:
        check_same_model(reml, post)
    dial = _one_dial(reml, term, effect)
    found = float(dial.sds[dial.turned[0]])
    scale = math.sqrt(dial.halfway * (found or dial.halfway))
    own = _own(dial)
    shown = choose_shown(dial, own)
    curve, without = None, None
    if post is not None and post.method != "joint":
        curve = sd_curve(post, dial.label)
        without = without_levels(post, dial.label, dial.block.group, shown)
    predictor, panels, adjusted = _panels(dial, shown)
    return Lesson(
        dial=dial,
        post=post,
        prob=prob,
        scale=scale,
        shown=shown,
        equations=lesson_equations(dial, shown, scale, LARGEST * scale),
        own=own,
        marks=_marks(dial, post, curve, prob),
        curve=curve,
        without=without,
        predictor=predictor,
        panels=panels,
        adjusted=adjusted,
    )


def _one_dial(reml: RemlFit, term: str | None, effect: str | None) -> Dial:
    """The dial of one effect."""
    if effect is None and reml.design.groups:
        effects = find_block(reml.model, term).effects
        effect = next((one for one in effects if one != "Intercept"), effects[0])
    dial = find_dial(reml, term, effect, None)
    if len(dial.turned) > 1:
        raise ModelError(
            f"{dial.label!r} is the SD of several effects of {dial.block.group}, and a "
            "lesson turns the SD of one. plot_shrinkage_path draws them together."
        )
    if not math.isfinite(dial.halfway):
        raise ModelError(
            f"No level of {dial.block.group} has rows that say anything of {effect}, "
            "so there is nothing to pool. Turn another effect with effect=."
        )
    return dial


def _own(dial: Dial) -> Float[np.ndarray, " j"]:
    """Each level's own estimate of the effect."""
    table = shrinkage_table(dial.reml)
    block = dial.block
    rows = (table["group"] == block.group) & (
        table["effect"] == block.effects[dial.turned[0]]
    )
    return table.loc[rows, "no_pooling"].to_numpy()


def choose_shown(dial: Dial, own: Float[np.ndarray, " j"]) -> Int[np.ndarray, " s"]:
    """All levels, or `MOST_LEVELS`, evenly in the order of their rows.

    The one whose own estimate lies furthest off is among them, for its neighbour.
    """
    sizes = dial.block.sizes
    if len(sizes) <= MOST_LEVELS:
        return np.arange(len(sizes))
    order, places = np.argsort(sizes, kind="stable"), _even(len(sizes), MOST_LEVELS)
    away = np.abs(own - np.nanmedian(own))
    furthest = int(np.flatnonzero(order == np.argmax(np.nan_to_num(away)))[0])
    if furthest not in places:
        places[np.argmin(np.abs(places - furthest))] = furthest
    return np.sort(order[places])


def _marks(
    dial: Dial, post: "Posterior | None", curve: SdCurve | None, prob: float
) -> Marks:
    """REML's and ML's SD, and the posterior's median and interval."""
    reml = dial.reml
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesLMMWarning)  # the page marks an SD of 0
        other = fit_reml(reml.model, method="ML" if reml.method == "REML" else "REML")
    sds = {fit.method: _sd(fit, dial) for fit in (reml, other)}
    ends = np.array([0.5, 0.5 - 0.5 * prob, 0.5 + 0.5 * prob])
    at = np.full(3, math.nan)
    if curve is not None:
        at = curve.quantiles(ends)
    elif post is not None:
        at = np.quantile(post.draws(dial.label), ends)
    return Marks(sds["REML"], sds["ML"], *at.tolist())


def _sd(fit: RemlFit, dial: Dial) -> float:
    """The turned SD of a fit."""
    whole = np.asarray(block_diag(*(fit.factors[t] for t in dial.block.terms)))
    return float(factor_to_sd_corr(whole)[0][dial.turned[0]])


def _panels(
    dial: Dial, shown: Int[np.ndarray, " s"]
) -> tuple[Predictor | None, tuple[Panel, ...], bool]:
    """Rows and lines of the levels, thinned where they are many."""
    reml, block = dial.reml, dial.block
    if reml.design.rows is None:
        return None, (), False
    predictor = find_predictor(reml.model, block, None)
    found = level_lines(reml, None, block, shown, predictor, 0.95)
    most = max(min(MOST_ROWS, MOST_POINTS // len(shown)), 1)
    by_level = dict(iter(found.points.groupby("level")))
    lines = line_columns(reml, block, shown, predictor)
    panels = []
    for level, line in zip(shown.tolist(), lines, strict=True):
        rows: pd.DataFrame = by_level[level].iloc[_even(len(by_level[level]), most)]
        x, y = rows["x"].to_numpy(float), rows["y"].to_numpy(float)
        at = _even(len(line.x), len(line.x) if predictor.levels else MOST_PLACES)
        panels.append(Panel(x, y, LineColumns(line.x[at], line.Z[at], line.rest[at])))
    return predictor, tuple(panels), found.adjusted


def _even(count: int, most: int) -> Int[np.ndarray, " e"]:
    """At most so many of a number of places, evenly, both ends among them."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)
