"""The one list of parameters: label, range and words, and which coordinate has each.

The variance parameters of a model are searched and sampled as one vector x of unbounded
coordinates: logs of SDs, and atanh of partial correlations. Takes the fixed variables
and bar terms of a `Design`; gives its `ParameterSpace`. It needs their names alone and
everything that follows asks it (priors, likelihood, REML, samplers, graph, tables), so
it lies here, beside the design that has it, and no other file knows what stands where.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from bayeslmm.design.arrays import FixedVariable, GroupTerm

Component = Literal["fixef", "sd", "corr", "sigma"]
Values = Any
"""A number, or an array of them."""

REAL, POSITIVE = (-math.inf, math.inf), (0.0, math.inf)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One scalar parameter: its label everywhere, its range, where its draws live.

    ``label`` is what ``az.summary`` prints, ``variable[coord]``. ``index`` is the
    column of X (fixef), the effect (sd) or the effect pair ``(row, column)`` (corr) in
    term number ``term`` of the design. ``words`` are for a sentence.
    """

    label: str
    component: Component
    variable: str
    coord: str | None = None
    group: str | None = None
    term: int | None = None
    index: tuple[int, ...] = ()
    bounds: tuple[float, float] = REAL
    words: str = ""

    def working(self, value: Values) -> Values:
        """On the scale without bounds: log of an SD, atanh of a correlation."""
        if self.bounds == REAL:
            return value
        with np.errstate(divide="ignore"):
            if self.bounds == POSITIVE:
                return np.log(value)
            low, high = self._ends
            middle = (2.0 * value - low - high) / (high - low)
            return np.arctanh(np.clip(middle, -1.0, 1.0))

    def natural(self, working: Values) -> Values:
        """The inverse of `working`."""
        if self.bounds == REAL:
            return working
        if self.bounds != POSITIVE:
            low, high = self._ends
            return low + 0.5 * (high - low) * (1.0 + np.tanh(working))
        with np.errstate(over="ignore"):
            return np.exp(working)

    def slope(self, value: Values) -> Values:
        """Derivative of `natural`, at a value of the parameter."""
        if self.bounds == REAL:
            return np.ones_like(value)
        if self.bounds == POSITIVE:
            return value
        low, high = self._ends
        return 2.0 * (value - low) * (high - value) / (high - low)

    @property
    def _ends(self) -> tuple[float, float]:
        """Between which a correlation is an atanh: of effects always -1 and 1."""
        return self.bounds if self.term is None else (-1.0, 1.0)

    def read(
        self,
        beta: Float[np.ndarray, "*s p"],
        spreads: Sequence[tuple[np.ndarray, np.ndarray]],
        scalars: Mapping[str, Values],
    ) -> Values:
        """Its value, or draws, among those of all parameters.

        Parameters
        ----------
        beta : ndarray, shape (..., p)
            Fixed effects.
        spreads : sequence of (ndarray, ndarray)
            SDs, shape (..., k), and correlations, shape (..., k, k), of each bar term.
        scalars : dict of str
            Parameters of no term by their labels, as `ParameterSpace.scalars` has them.
        """
        if self.component == "fixef":
            return beta[..., self.index[0]]
        if self.term is None:
            return scalars[self.label]
        return spreads[self.term][self.component == "corr"][..., *self.index]


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One entry of x.

    Attributes
    ----------
    label : str
        What it is about, for messages.
    term : int or None
        Number of the bar term it belongs to.
    tells : tuple of Parameter
        The parameters that are functions of it alone: equal SDs, of which it is the
        log, or a correlation; none if it is a further partial correlation.
    """

    label: str
    term: int | None
    tells: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class ParameterSpace:
    """The parameters in the order of every table, the coordinates in that of x."""

    parameters: tuple[Parameter, ...]
    coordinates: tuple[Coordinate, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of all parameters."""
        return tuple(p.label for p in self.parameters)

    @property
    def fixed(self) -> tuple[Parameter, ...]:
        """The fixed effects."""
        return tuple(p for p in self.parameters if p.component == "fixef")

    @property
    def variances(self) -> tuple[Parameter, ...]:
        """All others: SDs, correlations, sigma."""
        return tuple(p for p in self.parameters if p.component != "fixef")

    def sds(self, t: int) -> tuple[Parameter, ...]:
        """SDs of bar term number t."""
        return self._of(t, "sd")

    def corrs(self, t: int) -> tuple[Parameter, ...]:
        """Correlations of bar term number t."""
        return self._of(t, "corr")

    def _of(self, t: int, component: Component) -> tuple[Parameter, ...]:
        """Parameters of one kind of a term."""
        own = (p for p in self.parameters if p.term == t)
        return tuple(p for p in own if p.component == component)

    @property
    def size(self) -> int:
        """Length of x."""
        return len(self.coordinates)

    @property
    def scales(self) -> tuple[int, ...]:
        """Places of the logs of SDs, that of sigma among them."""
        pairs = enumerate(self.coordinates)
        return tuple(i for i, c in pairs if c.tells and c.tells[0].bounds == POSITIVE)

    @property
    def sigma(self) -> int:
        """Place of the log of the residual SD."""
        return self.coordinates.index(LOG_SIGMA)

    def place(self, label: str) -> int | None:
        """Place of the coordinate that alone decides a parameter; None without one."""
        pairs = ((i, p) for i, own in enumerate(self.coordinates) for p in own.tells)
        return next((i for i, p in pairs if p.label == label), None)

    def told(self, place: int) -> Parameter:
        """What the coordinate at a place decides; of equal parameters the first."""
        return self.coordinates[place].tells[0]

    def of_term(self, t: int) -> slice:
        """Places of the coordinates of bar term number t: SDs, then correlations."""
        return _span(i for i, own in enumerate(self.coordinates) if own.term == t)

    def scales_of(self, t: int) -> slice:
        """Places of its SDs."""
        return _span(i for i in self.scales if self.coordinates[i].term == t)

    def scalars(self, x: Float[np.ndarray, "*s m"]) -> dict[str, Values]:
        """Parameters of no term by label, at points: sigma, in units of y."""
        return {
            p.label: p.natural(x[..., i])
            for i, own in enumerate(self.coordinates)
            if own.term is None
            for p in own.tells
        }

    @property
    def profiled(self) -> "ParameterSpace":
        """The same without a coordinate for sigma, where that is at its best."""
        kept = tuple(own for own in self.coordinates if own != LOG_SIGMA)
        return replace(self, coordinates=kept)


def _span(places: Iterable[int]) -> slice:
    """Neighbouring places as a slice."""
    found = list(places)
    return slice(found[0], found[-1] + 1)


SIGMA = Parameter("sigma", "sigma", "sigma", bounds=POSITIVE, words="the residual SD")
LOG_SIGMA = Coordinate(SIGMA.label, None, (SIGMA,))


def parameter_space(
    fixed: "Sequence[FixedVariable]",
    terms: "Sequence[GroupTerm]",
    residual: Sequence[Parameter] = (),
) -> ParameterSpace:
    """Every parameter of a model: fixed effects, SDs, correlations, sigma.

    Parameters
    ----------
    fixed : sequence of FixedVariable
        Fixed variables of the design.
    terms : sequence of GroupTerm
        Its bar terms.
    residual : sequence of Parameter
        Those of the structure of its residuals, one coordinate each.

    Returns
    -------
    ParameterSpace
        x is log sigma, then for each bar term the logs of its free SDs and atanh of
        the cosines of the angles of its free correlations (see `covariance`), then
        the working values of those of the residuals.
    """
    parameters, coordinates = _fixed_parameters(fixed), [LOG_SIGMA]
    for t, term in enumerate(terms):
        sds, corrs = _sd_parameters(t, term), _corr_parameters(t, term)
        parameters += [*sds, *corrs]
        coordinates += _coordinates(t, term, sds, corrs)
    coordinates += [Coordinate(own.label, None, (own,)) for own in residual]
    return ParameterSpace((*parameters, SIGMA, *residual), tuple(coordinates))


def entry_label(name: str, coords: tuple[str, ...], i: int) -> str:
    """``name`` for a scalar, ``name[coord]`` for an entry of a vector."""
    return f"{name}[{coords[i]}]" if coords else name


def _fixed_parameters(fixed: "Sequence[FixedVariable]") -> list[Parameter]:
    """Coefficients in the order of the variables."""
    found = []
    for variable in fixed:
        for i, column in enumerate(variable.columns):
            label = entry_label(variable.name, variable.coords, i)
            coord = variable.coords[i] if variable.coords else None
            own = Parameter(label, "fixef", variable.name, coord, index=(column,))
            found.append(own)
    return found


def _sd_parameters(t: int, term: "GroupTerm") -> list[Parameter]:
    """SDs of one term, named as bambi names them."""
    found = []
    for variable in term.variables:
        name = f"{variable.name}_sigma"
        coords, effects = variable.coords, variable.effects
        if term.covariance.homogeneous:
            coords, effects = (), effects[:1]
        for i, effect in enumerate(effects):
            coord = coords[i] if coords else None
            label = entry_label(name, coords, i)
            short = "1" if term.effects[effect] == "Intercept" else term.effects[effect]
            words = f"the SD of {short}|{term.group}"
            own = (term.group, t, (effect,), POSITIVE, words)
            found.append(Parameter(label, "sd", name, coord, *own))
    return found


def _corr_parameters(t: int, term: "GroupTerm") -> list[Parameter]:
    """Correlations of one term, one variable ``<group>_corr``.

    Named pairs, or what the structure calls those that pairs share (``rho``).
    """
    name, corr = f"{term.group}_corr", term.covariance.correlations
    bounds = (term.covariance.low(term.k), 1.0)
    return [
        Parameter(
            *(f"{name}[{own}]", "corr", name, own, term.group, t, pair, bounds),
            words=f"the correlation {own} of {term.group}",
        )
        for own, pair in zip(corr.names(term.effects), corr.pairs(term.k), strict=True)
    ]


def _coordinates(
    t: int, term: "GroupTerm", sds: list[Parameter], corrs: list[Parameter]
) -> list[Coordinate]:
    """Coordinates of one term: as many SDs and partial correlations as are free.

    Of the correlations only the first is one of the partials.
    """
    found, shared = [], term.covariance.homogeneous
    for i in range(term.covariance.n_sd(term.k)):
        tells = tuple(p for p in sds if shared or p.index == (i,))
        found.append(Coordinate(tells[0].label, t, tells))
    for i, corr in enumerate(corrs):
        found.append(Coordinate(corr.variable, t, () if i else (corr,)))
    return found
