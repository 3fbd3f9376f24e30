"""Whether fits may be compared by their likelihoods: same data, one within the other.

Takes two models; gives what differs in their data, or why the smaller one is no special
case of the larger. Spans are compared, not names: ``x`` and ``I(2 * x)`` are the same.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.moments import ColumnMoments
from bayeslmm.design.residual import ResidualStructure
from bayeslmm.errors import listed
from bayeslmm.spec import ModelSpec

# What a projection leaves of a column, relative to its size, that is rounding.
ROUNDING = 1e-7
# Structures that are special cases of others, beside `us`, which has all as such.
WITHIN = {
    "homdiag": ("diag", "homcs", "cs", "ar1", "hetar1", "homtoep", "toep"),
    "diag": ("cs", "hetar1", "toep"),
    "homcs": ("cs", "homtoep", "toep"),
    "ar1": ("hetar1", "homtoep", "toep"),
    "cs": ("toep",),
    "hetar1": ("toep",),
    "homtoep": ("toep",),
}


def data_difference(first: ModelSpec, second: ModelSpec) -> str:
    """What differs first in the data of two models; empty if nothing does.

    Parameters
    ----------
    first, second : ModelSpec
        The models. If the rows of one were read in batches, their sums are compared.
    """
    one, other = first.design, second.design
    if one.n != other.n:
        return f"one uses {one.n} rows, the other {other.n}"
    if one.response != other.response:
        return f"their responses are {one.response!r} and {other.response!r}"
    a, b = one.rows, other.rows
    if a is None or b is None:
        return _sums_difference(first, second)
    if not np.array_equal(a.y, b.y):
        return f"their responses {one.response!r} differ in value or order of rows"
    if not np.array_equal(a.net, b.net):
        return "their offsets differ"
    w, v = (np.ones(r.n) if r.weights is None else r.weights for r in (a, b))
    return "" if np.array_equal(w, v) else "their weights differ"


def _sums_difference(first: ModelSpec, second: ModelSpec) -> str:
    """What differs first in the sums over the rows; orders of rows are not seen."""
    one, other = first.design, second.design
    if not _close(one.moments.y, other.moments.y):
        return f"their responses {one.response!r} differ in value"
    if not _close(one.moments.net, other.moments.net):
        return "their offsets differ"
    logs = [m.conditioned.statistics.log_weights / one.n for m in (first, second)]
    if abs(logs[0] - logs[1]) > ROUNDING * max(1.0, *np.abs(logs)):
        return "their weights differ"
    # a factor with other levels may be coded otherwise under the same names
    shared = {(v.name, v.coords) for v in other.fixed}
    alike = [v for v in one.fixed if (v.name, v.coords) in shared]
    names = [one.fixed_names[column] for v in alike for column in v.columns]
    centred = "Intercept" in names  # then shifts of columns change no likelihood
    ours, theirs = (_products(m, names, centred=centred) for m in (first, second))
    size = np.sqrt(np.maximum(np.diagonal(ours), np.diagonal(theirs)))
    apart = np.abs(ours - theirs) > ROUNDING * np.outer(size, size)
    if apart[-1, -1]:
        return "their weights differ"
    odd = np.flatnonzero((apart[-1] | np.diagonal(apart))[:-1])
    if not len(odd):
        return ""
    return f"they have other values, or orders, of {listed(names[i] for i in odd)}"


def _products(
    model: ModelSpec, names: list[str], *, centred: bool
) -> Float[np.ndarray, "c c"]:
    """``[X y]'W[X y]`` of some columns, moved if `centred`, and y less its offset."""
    design, conditioned = model.design, model.conditioned
    p, root = design.p, conditioned.root
    turn = np.zeros((p + 1, p + 1))
    turn[:p] = np.column_stack([root, root @ conditioned.beta])
    turn[p, p] = conditioned.unit
    if not centred and conditioned.intercept is not None:
        means = np.append(conditioned.means, 0.0)
        turn += np.outer(turn[:, conditioned.intercept], means)
    turn = turn[:, [*map(design.fixed_names.index, names), p]]
    return turn.T @ conditioned.statistics.WW @ turn


def same_fixed(one: Design, other: Design) -> bool:
    """Whether the fixed parts have the same columns, in any order.

    The same span in other columns is not enough: REML criteria would differ by a
    constant.
    """
    if one.rows is None or other.rows is None:
        return set(one.fixed_names) == set(other.fixed_names)
    a, b = (np.unique(rows.X, axis=1) for rows in (one.rows, other.rows))
    return np.array_equal(a, b)


def not_nested(small: Design, large: Design) -> str:
    """Why one model is no special case of another; empty if it is.

    Parameters
    ----------
    small, large : Design
        Arrays of models of the same data.
    """
    outside = _outside(small, large)
    if outside:
        one = len(outside) == 1
        return (
            f"the fixed part of the smaller one has {listed(outside)}, which "
            f"{'is' if one else 'are'} no combination of the fixed columns of the "
            f"larger"
        )
    if not _residual_within(small.residual, large.residual):
        own, host = (d.residual.label if d.residual else "none" for d in (small, large))
        return (
            f"the structure of the residuals of the smaller one, {own}, is no special "
            f"case of that of the larger, {host}"
        )
    homeless = [
        term.label
        for term, host in zip(small.groups, _hosts(small, large), strict=True)
        if host is None
    ]
    if homeless:
        return (
            f"{homeless[0]} of the smaller one is no special case of a random term of "
            f"the larger"
        )
    return ""


def _residual_within(
    small: ResidualStructure | None, large: ResidualStructure | None
) -> bool:
    """Whether each part of one structure is missing or the same in another."""
    if small is None:
        return True
    if large is None:
        return False
    same_strata = small.strata in (None, large.strata)
    return same_strata and small.series in (None, large.series)


def sds_tested(small: Design, large: Design) -> int:
    """How many SDs are 0 in the smaller of two nested models and free in the larger."""
    hosts, found = _hosts(small, large), 0
    for h, host in enumerate(large.groups):
        guests = [t for t, own in enumerate(hosts) if own == h]
        held = sum(small.groups[t].k for t in guests)
        found += host.k - held if guests else host.covariance.n_sd(host.k)
    return found


def _hosts(small: Design, large: Design) -> list[int | None]:
    """The term of the larger model that each of the smaller is a special case of.

    Each has one of its own, as far as there are any; an unstructured one may have
    several independent ones.
    """
    hosts: list[int | None] = []
    for t in range(len(small.groups)):
        found = [h for h in range(len(large.groups)) if _holds(large, h, small, t)]
        unused = [h for h in found if h not in hosts]
        free = [h for h in found if large.groups[h].covariance.unstructured]
        hosts.append(next(iter([*unused, *free]), None))
    return hosts


def _outside(small: Design, large: Design) -> list[str]:
    """Fixed columns of one that those of another do not span."""
    names = small.fixed_names
    if small.rows is None or large.rows is None:
        return [name for name in names if name not in large.fixed_names]
    left = _left(small.rows.X, large.rows.X)
    return [name for name, odd in zip(names, left, strict=True) if odd]


def _left(
    columns: Float[np.ndarray, "n a"], span: Float[np.ndarray, "n b"]
) -> list[bool]:
    """Whether something of each column is left outside the span of others."""
    size = np.linalg.norm(columns, axis=0)
    if span.shape[1]:
        scaled = span / np.linalg.norm(span, axis=0)
        columns = columns - scaled @ np.linalg.lstsq(scaled, columns)[0]
    return (np.linalg.norm(columns, axis=0) > ROUNDING * size).tolist()


def _holds(large: Design, h: int, small: Design, t: int) -> bool:
    """Whether a bar term of one model is a special case of one of another."""
    own, host = small.groups[t], large.groups[h]
    if own.n_levels != host.n_levels:
        return False
    a, b = small.rows, large.rows
    if a is None or b is None:
        same_levels = own.group == host.group
        inside = set(own.effects) <= set(host.effects)
    else:
        pairs = np.unique(np.stack([a.codes[t], b.codes[h]]), axis=1)
        same_levels = pairs.shape[1] == own.n_levels
        inside = same_levels and not any(_left(a.Z[t], b.Z[h]))
    if not (same_levels and inside):
        return False
    if host.covariance.unstructured:
        return True
    if own.k == 1:
        return host.structure in ("diag", "cs", "hetar1", "toep") or host.k == 1
    wider = (own.structure, *WITHIN.get(own.structure, ()))
    return own.effects == host.effects and host.structure in wider


def _close(one: ColumnMoments, other: ColumnMoments) -> bool:
    """Whether the moments of a column agree up to the rounding of sums."""
    size = np.maximum(one.size, other.size)
    mean = np.abs(one.mean - other.mean) <= ROUNDING * size
    spread = np.abs(one.sd() - other.sd()) <= ROUNDING * size
    return bool(mean.all() and spread.all())
