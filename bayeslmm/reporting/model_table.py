"""Models side by side, as journals print them: one column each, errors below estimates.

Takes fits; gives a `PaperTable`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from bayeslmm.comparison.table import interval_name
from bayeslmm.errors import ModelError, check_flag, check_text, is_choice, listed
from bayeslmm.posterior.tables import check_interval
from bayeslmm.reporting.columns import (
    Column,
    Key,
    decimals_of,
    estimate_text,
    is_parameter,
    keys_of,
    long_frame,
    make_columns,
    row_names,
    section_of,
)
from bayeslmm.reporting.latex import check_reference
from bayeslmm.reporting.paper_notes import (
    SHARES_NOTE,
    ddf_words,
    missing_note,
    model_notes,
)
from bayeslmm.reporting.paper_tables import Format, PaperTable, check_format
from bayeslmm.reporting.tables import TextTable
from bayeslmm.tables.numbers import MISSING, interval, number, p_value

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.ddf import Ddf
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reporting.fitted import Fitted

Statistic = Literal["interval", "se", "p"]
STATISTICS: tuple[Statistic, ...] = ("interval", "se", "p")
LIMITS = {0.001: "***", 0.01: "**", 0.05: "*"}
STARS = "* p < 0.05, ** p < 0.01, *** p < 0.001, of fixed effects by REML or ML alone."


def model_table(
    *fits: "RemlFit | Posterior | Fitted",
    names: Iterable[str] | None = None,
    statistic: Statistic | Iterable[Statistic] = "interval",
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
    ddf: "Ddf" = "satterthwaite",
    stars: bool = False,
    labels: Mapping[str, str] | None = None,
    caption: str = "",
    label: str = "",
    format: Format = "markdown",
) -> PaperTable:
    r"""Models side by side, as a table for a paper.

    Use it for what a journal prints: fixed effects, SDs, correlations, number of rows
    and levels, ICC, R2 and criteria, a column for each fit. `Fit.tables` has all of
    one fit.

    Parameters
    ----------
    *fits : RemlFit, Posterior or Fit
        In the order of the columns; a `Fit` is two, its REML fit and its posterior.
        They need not be of the same data: a note says where they are not.
    names : sequence of str, optional
        Headings, one for each of `fits`. By default ``(1)``, ``(2)``, and the notes
        have the formulas.
    statistic : {"interval", "se", "p"} or sequence of these, default "interval"
        What stands below an estimate: its interval, in parentheses its SE or posterior
        SD, the p value of a fixed effect of a `RemlFit`.
    prob : float, default 0.95
        Probability of the intervals.
    kind : {"eti", "hdi"}, default "eti"
        Equal-tailed or highest density, of a posterior. Those of REML are Wald's.
    ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
        Degrees of freedom of the fixed effects; see `RemlFit.summary`.
    stars : bool, default False
        Stars for p below 0.05, 0.01 and 0.001.
    labels : dict of str, optional
        Other names of rows: by the label of a parameter in `summary`, or by the name
        in the table, ``{"Days": "Days awake", "Levels of Subject": "Participants"}``.
    caption : str, optional
        Above the table.
    label : str, optional
        By which LaTeX refers to it, ``"tab:sleep"``; needs a caption. The ``id`` in
        HTML.
    format : {"markdown", "latex", "html", "docx", "csv"}
        In which it prints. `PaperTable.save` takes the ending of the name.

    Returns
    -------
    PaperTable
        ``frame`` has the numbers: one row for each model and parameter, columns
        ``model``, ``formula``, ``method``, ``component``, ``label``, ``name``,
        ``estimate``, ``se``, ``df``, ``t``, ``p``, ``lower``, ``upper``; median and SD
        of a posterior. CSV has these, full precision.

    Raises
    ------
    ModelError
        If something is no fit, an option is unknown, names or labels do not match, or
        Kenward-Roger is asked of an ML fit.

    Notes
    -----
    Rows are those of all models, in one order whatever the order of the columns.
    An empty cell: the model has no such parameter. A dash: there is no such number.

    Stars are off because they cut what is continuous, say nothing of size or
    uncertainty, and do not exist for SDs and posteriors [1]_.

    LaTeX needs ``booktabs`` alone: decimal points are set below each other by phantom
    digits, which, other than ``siunitx``, leaves room for intervals in the column.

    References
    ----------
    .. [1] Wasserstein and Lazar (2016). Am. Stat. 70(2).
       https://doi.org/10.1080/00031305.2016.1154108

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(seed=1).data
    >>> texts = "score ~ 1 + (1 | classroom)", "score ~ edu + (1 | classroom)"
    >>> fits = [lmm.Model(text, pupils).fit_reml() for text in texts]
    >>> table = lmm.model_table(*fits, names=["Null", "Education"])
    >>> [line.split("|")[1].strip() for line in str(table).splitlines()[2:8]]
    ['Method', '*Fixed effects*', 'Intercept', '', 'edu', '']
    """
    below = check_statistic(statistic)
    check_interval(prob, kind)
    stars = check_flag(stars, "stars")
    check_reference(check_text(label, "label"), check_text(caption, "caption"))
    check_format(format)
    columns = make_columns(fits, names, prob, kind, ddf)
    called = row_names(columns, labels)
    rows = [_method_row(columns)]
    rows += [
        (section_of(key), (called[key], *_cells(columns, key, below, stars)))
        for key in keys_of(columns)
    ]
    notes = [_cell_note(columns, below, prob, kind, ddf), *([STARS] if stars else [])]
    if any(MISSING in cell.split("\n") for _, cells in rows for cell in cells):
        notes.append(missing_note(columns))
    if any(key[0] == "share" for key in called):
        notes.append(SHARES_NOTE)
    notes += model_notes(columns, named=names is not None)
    layout = TextTable(
        title=caption,
        header=("", *(column.name for column in columns)),
        rows=tuple(rows),
        notes=tuple(notes),
        centred=True,
    )
    return PaperTable(long_frame(columns, called), layout, label, format)


def check_statistic(given: object) -> tuple[Statistic, ...]:
    """What stands below estimates; `ModelError` for anything unknown."""
    words = (given,) if isinstance(given, str) else given
    own = tuple(words) if isinstance(words, Iterable) else (words,)
    for word in own:
        if not is_choice(word, STATISTICS):
            raise ModelError(
                f"Unknown statistic={word!r}. Options: {listed(STATISTICS)}, or "
                "several of them."
            )
    return own  # pyright: ignore[reportReturnType]


def _method_row(columns: Sequence[Column]) -> tuple[str, tuple[str, ...]]:
    """How each was fitted."""
    return "", ("Method", *(column.method for column in columns))


def _cells(
    columns: Sequence[Column], key: Key, below: Sequence[Statistic], stars: bool
) -> list[str]:
    """A row: what each model has of it."""
    found = []
    for column in columns:
        own = column.row(key)
        found.append("" if own is None else cell_text(key, own, below, stars))
    return found


def cell_text(
    key: Key, own: pd.Series, below: Sequence[Statistic], stars: bool = False
) -> str:
    """An estimate with what stands below it, a line each."""
    marks = [mark for limit, mark in LIMITS.items() if own["p"] < limit]
    lines = [estimate_text(key, own) + (marks[0] if stars and marks else "")]
    lines += [_below(one, own, decimals_of(key, own)) for one in below]
    needed = is_parameter(key)
    return "\n".join(line for line in lines if line and (needed or line != MISSING))


def _below(statistic: Statistic, own: pd.Series, places: int) -> str:
    """One line below an estimate; empty for the p value of what has no test."""
    if statistic == "interval":
        return interval(own["lower"], own["upper"], places)
    if statistic == "se":
        error = number(own["se"], places)
        return error if error == MISSING else f"({error})"
    if not math.isfinite(own["p"]):
        return ""
    text = p_value(own["p"])
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _cell_note(
    columns: Sequence[Column],
    below: Sequence[Statistic],
    prob: float,
    kind: str,
    ddf: str,
) -> str:
    """What the lines of a cell are."""
    methods = dict.fromkeys(column.method for column in columns)
    wald = interval_name(prob, "wald")
    parts = []
    for method in methods:
        drawn = method == "Posterior"
        words = {
            "interval": interval_name(prob, kind) if drawn else f"{wald} interval",
            "se": f"{'SD' if drawn else 'SE'} in parentheses",
            "p": "" if drawn else "p",
        }
        lines = [words[one] for one in below if words[one]]
        under = f", below it {', '.join(lines)}" if lines else ""
        parts.append(f"{method}: {'median' if drawn else 'estimate'}{under}")
    tests = ddf_words(methods, ddf)
    return "; ".join([*parts, *([tests] if tests else [])]) + "."
