"""A lesson on shrinkage as one page: sliders that compute in the browser, no network.

Takes a fit; gives an HTML file in which the SD of a group's effects, the scale of its
prior and single levels are turned, with exact numbers at every step. The page solves
the equations that `comparison.lesson` found; its script and style are the files beside
this one that `SCRIPTS` and `STYLES` name.
"""

import base64
import hashlib
import json
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.comparison.lesson import Lesson, find_lesson
from bayeslmm.comparison.lesson_words import (
    LessonWords,
    in_sentence,
    lesson_words,
    noun_of,
)
from bayeslmm.errors import ModelError, OutputError, as_path, printable
from bayeslmm.reml import fit_reml
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reporting.describe import account_lines
from bayeslmm.reporting.fitted import Fitted
from bayeslmm.reporting.lesson_numbers import page_numbers
from bayeslmm.reporting.pages import page_environment, together, write_page
from bayeslmm.tables.folding import ends_kept
from bayeslmm.tables.numbers import count, counted

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

# Up to so many levels the posterior without one of them reaches far beyond that of all.
FEW_LEVELS = 6
STYLES = ("tokens.css", "lesson.css")
SCRIPTS = tuple(f"lesson_{name}.js" for name in ("algebra", "texts", "figures", "page"))
LONGEST_FORMULA = 300


def lesson(
    fit: "Fitted | RemlFit | Posterior",
    path: str | PathLike[str],
    *,
    term: str | None = None,
    effect: str | None = None,
    prob: float = 0.95,
) -> Path:
    """Write a lesson on shrinkage, made of this fit: one page, computed as it is read.

    Use it in class, or to show a reader what partial pooling did to these data: sliders
    for the SD of a group's effects and for the scale of its prior recompute every
    level's estimate, its pooling and the posterior of the SD; a level can be left out,
    and a new one added.

    Parameters
    ----------
    fit : Fit, RemlFit or Posterior
        A Gaussian model. Without a posterior its curve and marks are left out.
    path : str or path
        File to write, by custom ``lesson.html``.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    effect : str, optional
        Whose SD is turned; by default the first beside the intercept, if there is one.
        All other variance parameters are held at the REML fit.
    prob : float, default 0.95
        Probability of all intervals.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If the model is of another family, has no such term or effect, or other grouping
        factors have so many effects that a page cannot solve for them.
    OutputError
        If the file cannot be written.

    See Also
    --------
    plot_shrinkage_path : The same estimates as a figure.
    shrinkage_path : As a table.

    Notes
    -----
    The page holds the cross-products of each level, not a table of results: it solves
    Henderson's equations [1]_ at every step of the slider. The posterior of the SD has
    all other parameters integrated out; another scale of its prior multiplies it by the
    ratio of the two priors. Of more than 200 levels a sample is drawn, and all count.
    Without a level it is exact where the posterior of all rows reaches; its far tails,
    which matter with two or three levels, go on in straight lines.

    References
    ----------
    .. [1] Henderson (1975). Biometrics 31(2). https://doi.org/10.2307/2529430

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> reml = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = lmm.lesson(reml, Path(folder) / "lesson.html")
    ...     page.stat().st_size < 500_000
    True
    """
    path = as_path(path, "path")
    check_place(path)
    reml, post = _fits(fit)
    page = lesson_html(find_lesson(reml, post, term, effect, prob))
    write_page(page, path, "lesson")
    return path


def check_place(path: Path) -> None:
    """Raise before any work if a page cannot be written there.

    Raises
    ------
    OutputError
        If it is a folder, or in none that can be written.
    """
    if path.is_dir():
        raise OutputError(
            f"{str(path)!r} is a folder. Name a file in it, such as "
            f"{str(path / 'lesson.html')!r}."
        )
    if not path.parent.is_dir():
        raise OutputError(
            f"There is no folder {str(path.parent)!r} for {path.name!r}. Make it, or "
            "name a file in a folder that exists."
        )


def _fits(fit: object) -> "tuple[RemlFit, Posterior | None]":
    """The REML fit and the posterior of what was given."""
    if isinstance(fit, RemlFit):
        return fit, None
    if isinstance(fit, Fitted):
        reml, post = fit.reml, fit.posterior
    elif type(fit).__name__ == "Posterior":
        reml, post = None, fit
    else:
        raise ModelError(
            "lesson takes what bayeslmm.fit, model.fit_reml() or model.sample() gives, "
            f"not a {type(fit).__name__}."
        )
    model: Any = fit.model if post is None else post.model  # pyright: ignore[reportAttributeAccessIssue]
    if model.family != "gaussian":
        raise ModelError(
            f"A lesson computes exact estimates at every step, and of family "
            f"{model.family!r} they are no closed form. post.coef() and "
            "plot_ranef(post) have the levels where the posterior has them."
        )
    return (fit_reml(model) if reml is None else reml), post  # pyright: ignore[reportReturnType]


def lesson_html(found: Lesson) -> str:
    """The page of `lesson` as a string."""
    from markupsafe import Markup

    template = page_environment().from_string(together("lesson.html.j2"))
    style, inner = together(*STYLES), together(*SCRIPTS)
    script = f'"use strict";\n(() => {{\n{inner}}})();\n'
    words, numbers = lesson_words(found), page_numbers(found)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    )
    return template.render(
        _texts(found, words, numbers),
        policy=policy,
        version=version("bayeslmm"),
        style=Markup(style),
        script=Markup(script),
        numbers=Markup(as_json(numbers)),
        texts=Markup(as_json({"effect": noun_of(printable(found.effect))})),
    )


def _hash(text: str) -> str:
    """What a policy allows: this text, and no other."""
    found = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(found).decode()}"


def as_json(values: object) -> str:
    """JSON that stands in a page: nothing in it ends a script or starts a comment."""
    tight = (",", ":")
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=tight)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _texts(
    found: Lesson, words: LessonWords, numbers: dict[str, Any]
) -> dict[str, Any]:
    """What the template says beside the sentences, and which parts there are."""
    reml, curve = found.dial.reml, found.curve
    group = in_sentence(found.dial.block.group)
    effect, panels = noun_of(found.effect), numbers["panels"]
    return {
        "words": words,
        "account": _account(found),
        "formula": ends_kept(printable(reml.model.formula.text), LONGEST_FORMULA),
        "rows": f"{count(reml.design.n)} rows, {counted(len(found.own), 'level')}",
        "names": {"effect": effect},
        "percent": numbers["percent"],
        "marks": numbers["marks"],
        "last_sd": numbers["dial"]["end"],
        "has_posterior": numbers["marks"]["median"] is not None,
        "has_panels": bool(found.panels),
        "has_curve": curve is not None,
        "has_prior": curve is not None and curve.prior is not None,
        "can_scale": curve is not None and curve.can_scale,
        "can_drop": found.equations.gone is not None,
        "panels_said": "" if panels is None else _panels_said(found, panels),
        "held_for_drop": "all other parameters integrated out"
        if found.without is not None
        else f"all other variance parameters held at the {reml.method} fit, and the "
        "fixed effects under a flat prior",
        "few_left": len(found.own) - 1 if len(found.own) <= FEW_LEVELS else 0,
        "new_said": _new_said(found),
        "alt": {
            "levels": f"The {effect} of each {group}: of its rows alone, and pooled "
            "with an interval, both on one axis with the centre. The numbers are in "
            "the table below.",
            "panels": f"Small pictures, one for each {group}: its rows, its pooled "
            "line and the line of the centre.",
            "curve": "Prior and posterior density of the SD. The numbers are in the "
            "table below.",
        },
    }


def _account(found: Lesson) -> list[str]:
    """What became of the rows, and what a reader must know of the draws."""
    lines = account_lines(found.dial.reml.design.account)
    if found.post is not None and not found.post.status.clean:
        lines.append(found.post.status.message)
    return [printable(line) for line in lines]


def _panels_said(found: Lesson, panels: dict[str, Any]) -> str:
    """What the small pictures show, and of which levels."""
    shown, every = len(panels["first"]), len(found.own)
    on_x = panels["name"] or "the order of the rows"
    response = in_sentence(found.dial.reml.design.response)
    said = f"{response} over {on_x}, one picture a level"
    if shown < every:
        said += f": the {shown} of {every:,} that pooling moves most"
    if panels["thinned"]:
        said += "; not all rows are drawn"
    return f"{said}."


def _new_said(found: Lesson) -> str:
    """What rows a new level has."""
    if found.dial.equations.p == 1 and len(found.dial.sds) == 1:
        return "Its rows have this mean, and scatter as those of the others do."
    return (
        "Its rows are those of the usual level: products of all rows, by their number. "
        "In all but this effect it stands at the centre."
    )
