"""The order in which bambi has the coordinates of factors, and ours.

Takes a linear predictor of bambi's and a DataTree of draws; gives the same draws in
that order, for the methods of bambi's that go by position.
"""

from collections.abc import Iterable

from bayeslmm.graph.names import Foreign


def bambi_orders(component: Foreign) -> dict[str, list[str]]:
    """Order of the coordinates of every factor of a linear predictor, by dimension."""
    orders = {}
    for term in component.common_terms.values():
        orders |= {dim: _labels(values) for dim, values in term.coords.items()}
    for term in component.group_specific_terms.values():
        for dim, values in term.coords.items():
            if dim.endswith("__expr_dim"):
                orders[dim] = _labels(values)
    return orders


def _labels(values: Iterable[object]) -> list[str]:
    """Coordinates as text."""
    return [str(value) for value in values]


def reorder(idata: Foreign, orders: dict[str, list[str]]) -> dict[str, list[str]]:
    """Put the posterior of `idata` into other orders, in place; gives the former."""
    posterior = idata["posterior"].to_dataset()
    former = {
        dim: _labels(posterior[dim].to_numpy()) for dim in orders if dim in posterior
    }
    changed = {dim: orders[dim] for dim in former if former[dim] != orders[dim]}
    if changed:
        idata["posterior"] = posterior.sel(changed)
    return former
