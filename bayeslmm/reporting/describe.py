"""The rows and grouping of a design in words: what was used, and what was lost."""

from typing import TYPE_CHECKING

from bayeslmm.data import Origin
from bayeslmm.design import Design, RowAccount, describe_table
from bayeslmm.design.account import MixedColumn
from bayeslmm.tables.numbers import counted, decimals_for, listed, number

if TYPE_CHECKING:
    from bayeslmm.spec import ModelSpec

MOST_NAMED = 6  # levels named one by one before "and 12 others"


def describe_text(model: "ModelSpec") -> str:
    """What the data are: rows used and lost, and each grouping factor.

    Parameters
    ----------
    model : Model
        Model.

    Returns
    -------
    str
        A few lines.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(3, 10, seed=1).data
    >>> print(describe_text(lmm.Model("score ~ edu + (1 | classroom)", pupils)))
    30 rows, all used
    classroom: 3 levels, 10 rows each
    """
    lines = account_lines(model.design.account)
    return "\n".join(lines + group_lines(model.design))


def header_lines(model: "ModelSpec") -> list[str]:
    """What will be fitted: formula, rows, groups, what was dropped."""
    family = "" if model.family == "gaussian" else f"  (family {model.family})"
    sizes = counted(model.design.p, "fixed effect")
    terms = ", ".join(term.label for term in model.design.groups)
    terms = terms or "no random effects"
    lines = [f"{model.said}{family}", f"{sizes}; {terms}"]
    account = account_lines(model.design.account)
    return lines + account + group_lines(model.design)


def scale_line(model: "ModelSpec") -> str:
    """The scale of the response: mean, SD and range over the rows used."""
    y = model.design.moments.y
    sd = float(y.sd(1)[0])
    values = (float(y.mean[0]), sd, float(y.low[0]), float(y.high[0]))
    mean, spread, low, high = (number(v, decimals_for(sd)) for v in values)
    return f"{model.design.response}: mean {mean}, SD {spread}, from {low} to {high}"


def group_lines(design: Design) -> list[str]:
    """One line for each grouping factor: levels, sizes, relation."""
    lines = []
    for group, row in describe_table(design).iterrows():
        if row["balanced"]:
            size = counted(row["smallest"], "row") + " each"
        else:
            size = (
                f"{row['smallest']:,} to {row['largest']:,} rows each, median "
                f"{row['median']:,.4g}"
            )
        line = f"{group}: {counted(row['levels'], 'level')}, {size}"
        lines.append(line + (f"; {row['relation']}" if row["relation"] else ""))
    return lines


def account_lines(account: RowAccount) -> list[str]:
    """What became of the rows that were given."""
    if account.n_dropped == 0:
        lines = [f"{counted(account.n_rows, 'row')}, all used"]
    else:
        missing = listed(f"{name} ({n:,})" for name, n in account.missing.items())
        lines = [
            f"{account.n_used:,} of {counted(account.n_rows, 'row')} used; "
            f"{account.n_dropped:,} dropped for missing values in {missing}"
        ]
    for group, levels in account.groups_lost.items():
        if levels:
            lines.append(
                f"lost with them: {counted(len(levels), 'level')} of {group} "
                f"({_some(levels)})"
            )
    for column, levels in account.unused_levels.items():
        if levels:
            lines.append(
                f"{column} declares {counted(len(levels), 'level')} that no row has: "
                f"{_some(levels)}"
            )
    lines += [_mixed_line(name, column) for name, column in account.mixed.items()]
    lines += [
        f"{column.words(name)}: digits were lost before the fit"
        for name, column in account.coarse.items()
    ]
    lines += account.traps
    if account.aliased:
        lines.append(account.dependence)
    if account.origin is not None:
        lines += _origin_lines(account.origin)
    return lines


def _mixed_line(name: str, column: MixedColumn) -> str:
    """A column that a few cells made text, and so a factor."""
    n = column.n_cells or column.n_numbers + len(column.others)
    n_others = column.n_others or len(column.others)
    return (
        f"{n - n_others:,} of {counted(n, 'value')} of {name} are numbers, not so "
        f"{_some(column.others)}: it is text, a factor of {column.n_levels} levels "
        f"(if it is a number, use --na {', '.join(column.others[:3])!r})"
    )


def _origin_lines(origin: Origin) -> list[str]:
    """What reading the file decided, and whether damage would have been seen."""
    lines = list(origin.notes)
    if origin.checksums is not None:
        lines.append(
            "page checksums of the Parquet file: all agree"
            if origin.checksums
            else "the Parquet file has no page checksums: damage may pass for data"
        )
    return lines


def _some(levels: tuple[str, ...]) -> str:
    """The first few names, and how many others."""
    named = ", ".join(levels[:MOST_NAMED])
    others = len(levels) - MOST_NAMED
    return named + (f" and {counted(others, 'other')}" if others > 0 else "")
