"""The words of a lesson, every number computed from the fit.

Takes a `Lesson`; gives its sentences: what is pooled, what a prior is to the level with
the fewest rows, three questions with their answers, what is held and what is left out.
"""

import math
import unicodedata
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from bayeslmm.comparison.blocks import is_numeric
from bayeslmm.comparison.lesson import Lesson
from bayeslmm.comparison.movers import shrinkage_reading
from bayeslmm.comparison.reliance import data_gram
from bayeslmm.tables.folding import ends_kept
from bayeslmm.tables.numbers import counted, decimals_for, listed, number, significant

LONGEST = 24  # letters of a name in a sentence
HALF = 0.5  # of its own scale: the other prior that is asked about


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a student, and its answer from this fit."""

    asked: str
    answer: str


@dataclass(frozen=True, slots=True)
class LessonWords:
    """What the page says, in sentences."""

    title: str
    lead: tuple[str, ...]
    prior: tuple[str, ...]
    scale: tuple[str, ...]
    questions: tuple[Question, ...]
    notes: tuple[str, ...]


def lesson_words(lesson: Lesson) -> LessonWords:
    """All sentences of a lesson."""
    teller = _Teller(lesson)
    return LessonWords(
        title=f"How much does each {teller.group} borrow from the others?",
        lead=teller.lead(),
        prior=teller.prior(),
        scale=teller.scale(),
        questions=(teller.who_moved(), teller.halfway(), teller.other_prior()),
        notes=teller.notes(),
    )


def in_sentence(name: str) -> str:
    """A name of the data in a sentence: short, its direction of reading its own."""
    short = ends_kept(name, LONGEST)
    turns = any(unicodedata.bidirectional(one) in ("R", "AL", "RLE") for one in short)
    return f"\u2068{short}\u2069" if turns else short


def noun_of(effect: str) -> str:
    """What an effect is in a sentence: intercept, slope, or the effect of an entry."""
    if effect == "Intercept":
        return "intercept"
    if is_numeric(effect):
        return f"slope of {in_sentence(effect)}"
    return f"effect of {in_sentence(effect)}"


class _Teller:
    """Names and numbers of a lesson, as all its sentences have them."""

    __slots__ = ("at_fit", "digits", "effect", "group", "lesson", "own_se", "sd", "z")

    def __init__(self, lesson: Lesson) -> None:
        dial = lesson.dial
        self.lesson, self.z = lesson, float(ndtri(0.5 + 0.5 * lesson.prob))
        self.group = in_sentence(dial.block.group)
        self.effect = noun_of(lesson.effect)
        self.sd = float(dial.sds[dial.turned[0]])
        self.at_fit = lesson.at_fit
        gram = np.linalg.pinv(data_gram(dial.reml, dial.block), hermitian=True)
        at = dial.turned[0]
        self.own_se = dial.reml.sigma * np.sqrt(np.maximum(gram[:, at, at], 0.0))
        self.digits = value_digits(lesson)

    @property
    def _percent(self) -> str:
        return f"{100.0 * self.lesson.prob:g}%"

    def _value(self, value: float) -> str:
        return number(value, self.digits).replace("-", "−")

    def _level(self, j: int) -> str:
        return in_sentence(self.lesson.dial.block.levels[j])

    def _center(self) -> float:
        """The centre at the fit."""
        dial = self.lesson.dial
        return float((dial.block.carried @ self.at_fit.beta)[dial.turned[0]])

    def lead(self) -> tuple[str, ...]:
        """What is pooled."""
        dial, marks, method = self.lesson.dial, self.lesson.marks, self.lesson.dial.reml
        sizes = dial.block.sizes
        rows = f"{sizes.min():,} to {sizes.max():,}"
        if sizes.min() == sizes.max():
            rows = f"{sizes.min():,}"
        found = [
            f"{counted(len(sizes), 'level')} of {self.group} have {rows} rows each. "
            f"Each has its own {self.effect}, and the model says that these come from "
            "one Normal distribution. That distribution is a prior: before a level has "
            "spoken, the others have. Its SD is the slider below.",
            f"At 0 all levels share one {self.effect} (complete pooling). Far to the "
            "right every level stands alone (no pooling). The data choose between: "
            f"{method.method}'s SD is {significant(self.sd)}"
            + self._posterior_words()
            + ".",
        ]
        if self.sd == 0.0:
            found.append(
                f"Here {method.method} chooses 0, the edge: the levels differ no more "
                "than their noise would make them. That is an estimate, and no proof "
                "that they are equal."
            )
        if not math.isfinite(marks.median):
            found.append(
                "There is no posterior in this fit (REML alone): the page has no "
                "posterior of the SD and no slider for the prior's scale."
            )
        return tuple(found)

    def _posterior_words(self) -> str:
        marks = self.lesson.marks
        if not math.isfinite(marks.median):
            return ""
        ends = [significant(one) for one in (marks.median, marks.lower, marks.upper)]
        return (
            f", the posterior's median {ends[0]} ({self._percent} interval {ends[1]} "
            f"to {ends[2]})"
        )

    def prior(self) -> tuple[str, ...]:
        """What a prior is, told by the level with the fewest rows."""
        dial, j, at = self.lesson.dial, self.lesson.fewest, self.lesson.dial.turned[0]
        name, n, center = self._level(j), int(dial.block.sizes[j]), self._center()
        partial, pooling = float(self.at_fit.coef[j, at]), self.at_fit.pooling[j, at]
        own = float(self.lesson.own[j])
        first = f"Take {name}, which has {counted(n, 'row')}, the fewest."
        if len(set(dial.block.sizes.tolist())) == 1:
            first = f"All levels have {counted(n, 'row')}. Take {name}."
        said = [
            f"{first} Cover its rows. What would you expect of its {self.effect}? The "
            f"other levels say: around {self._value(center)}, with an SD of "
            f"{significant(self.sd)} from level to level, so with {self._percent} "
            f"between {self._value(center - self.z * self.sd)} and "
            f"{self._value(center + self.z * self.sd)}. That is the prior, and nobody "
            "made it up: the other levels did."
        ]
        if math.isfinite(own):
            said.append(
                f"Now look at its rows alone: {self._value(own)}, with a standard "
                f"error of {significant(float(self.own_se[j]), 2)}. The model takes "
                f"both, each by how precise it is, and says {self._value(partial)}: "
                f"its rows leave {_share(pooling)} of the prior's variance."
            )
        else:
            said.append(
                f"Its rows alone do not say its {self.effect}: there are too few, or "
                f"they do not differ. The model still has an estimate, "
                f"{self._value(partial)}, borrowed from the others."
            )
        return tuple(said)

    def scale(self) -> tuple[str, ...]:
        """The prior of the SD itself, and why its scale may not be turned."""
        curve = self.lesson.curve
        if curve is None:
            return ()
        if curve.prior is None:
            reason = "no closed form in a page"
            if curve.words == "mixed":
                reason = (
                    "no prior of its own: the priors refer to levels where predictors "
                    "are at their means. Choose another effect to turn a prior"
                )
            return (f"The SD that is shown here has {reason}.",)
        said = (
            "How different are levels? The SD has a prior too, here "
            f"{curve.words}: what would be believed of it before any data. The curve "
            "below is the posterior, all other parameters integrated out."
        )
        if not curve.can_scale:
            return (said, "This prior is flat, so it has no scale to turn.")
        return (
            said,
            "Turn its scale. Where the curve stays, the data speak; where it follows "
            "the slider, the prior does.",
        )

    def who_moved(self) -> Question:
        """Who moved most, and why."""
        dial = self.lesson.dial
        said = shrinkage_reading(dial.reml, term=dial.block.group, top=1, at="zero")
        own = [one for one in said if one.startswith(f"{self.lesson.effect} of ")]
        text = " ".join(own).replace(" -", " −") or "None: at this SD no level moves."
        for level in dial.block.levels:
            if len(level) > LONGEST and level in text:
                text = text.replace(level, in_sentence(level))
        if len(self.lesson.effect) > LONGEST:
            text = text.replace(self.lesson.effect, in_sentence(self.lesson.effect))
        return Question(
            f"Which {self.group} does pooling move most, and why that one?", text
        )

    def halfway(self) -> Question:
        """Where the usual level is pooled by a half."""
        asked = "At which SD do the rows of the usual level leave half of the prior?"
        half, method = self.lesson.halfway, self.lesson.dial.reml.method
        pooled = float(np.median(self.at_fit.pooling[:, self.lesson.dial.turned[0]]))
        if not math.isfinite(half):
            return Question(
                asked,
                "At none: its rows say so little of the effect that the others decide "
                f"throughout. At {method}'s SD they leave {_share(pooled)} of the "
                "prior's variance.",
            )
        ratio = self.sd / half
        times = "0" if ratio == 0.0 else f"{significant(ratio, 2)} times that"
        return Question(
            asked,
            f"At {significant(half)}: there half of the levels are pooled by more than "
            f"50%, half by less. {method}'s SD is {times}, and with it the usual level "
            f"is pooled by {_share(pooled)}.",
        )

    def other_prior(self) -> Question:
        """Half the scale; without a prior to turn, a level without rows."""
        curve = self.lesson.curve
        if curve is None or not curve.can_scale:
            return self._new_level()
        ends = 0.5 + 0.5 * np.array([0.0, -self.lesson.prob, self.lesson.prob])
        old, new = curve.quantiles(ends), curve.quantiles(ends, HALF)
        change = new[0] / old[0] - 1.0
        verdict = "hardly: the data say most of it"
        if abs(change) > 0.05:
            verdict = f"yes, by {100.0 * abs(change):.0f}%: the prior has a say"
        return Question(
            "Would a prior of half the scale change what we learn of the SD?",
            f"The posterior median goes from {significant(old[0])} to "
            f"{significant(new[0])}, the {self._percent} interval from "
            f"{significant(old[1])} to {significant(old[2])} to {significant(new[1])} "
            f"to {significant(new[2])}. So {verdict}.",
        )

    def _new_level(self) -> Question:
        """What the model says of a level that it has not seen."""
        dial, at = self.lesson.dial, self.lesson.dial.turned[0]
        row = dial.block.carried[at] @ dial.reml.beta_cov @ dial.block.carried[at]
        spread, center = math.hypot(self.sd, math.sqrt(row)), self._center()
        return Question(
            f"What does the model say of a {self.group} that it has not seen?",
            f"Its {self.effect} should be around {self._value(center)}, with "
            f"{self._percent} between {self._value(center - self.z * spread)} and "
            f"{self._value(center + self.z * spread)}: the SD of the levels, and the "
            "uncertainty of the centre.",
        )

    def notes(self) -> tuple[str, ...]:
        """What is held, and what is left out."""
        lesson, dial = self.lesson, self.lesson.dial
        said = [
            f"The page solves the mixed model equations of Henderson at every step, "
            f"{lesson.held}. Intervals are given these."
        ]
        groups = sorted({term.group for term in dial.reml.design.groups})
        others = [in_sentence(one) for one in groups if one != dial.block.group]
        effects = [noun_of(one) for one in dial.block.effects if one != lesson.effect]
        if effects:
            said.append(
                f"Each level also has its own {listed(effects)}. effect= chooses what "
                "is turned."
            )
        if others:
            said.append(f"Levels of {listed(others)} are estimated too. term= chooses.")
        if len(lesson.shown) < len(lesson.own):
            said.append(
                f"{len(lesson.shown):,} of {len(lesson.own):,} levels are shown, "
                "evenly in the order of their rows, the furthest among them. The "
                "others are not drawn, and count in all that is computed."
            )
        if lesson.post is not None and lesson.curve is None:
            said.append(
                "The effects were sampled, not integrated out: the marks of the "
                "posterior are of its draws, and its curve is left out."
            )
        if lesson.predictor is None:
            said.append(
                "The rows are not in memory: there are no pictures of them, and no "
                "level can be left out."
            )
        elif lesson.equations.gone is None:
            said.append(
                "No level can be left out here: "
                + (
                    "residuals are correlated."
                    if dial.reml.design.residual is not None
                    else "the page would be too large."
                )
            )
        if lesson.adjusted:
            said.append(
                "Rows are drawn less what the fit says of other columns and groups."
            )
        return tuple(said)


def value_digits(lesson: Lesson) -> int:
    """Decimals of values of the effect: two digits of the SE of the usual level."""
    return decimals_for(lesson.dial.halfway, 2)


def _share(pooling: float) -> str:
    """A share as percent."""
    if 0.0 < pooling < 0.01:
        return "less than 1%"
    return f"{100.0 * pooling:.0f}%"
