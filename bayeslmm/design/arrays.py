"""The arrays of a mixed model: y, X, and one `GroupTerm` for each bar term.

Takes nothing from the outside but numpy arrays; gives the `Design` from which every
computation starts. Needs numpy only.
"""

from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.covariance import STRUCTURES, Structure
from bayeslmm.design.absent import AbsentRows
from bayeslmm.design.account import RowAccount
from bayeslmm.design.centring import NO_PRODUCTS, Centring, Products
from bayeslmm.design.moments import (
    ColumnMoments,
    Moments,
    column_moments,
    combined_moments,
    moments_of_any,
)
from bayeslmm.design.space import ParameterSpace, entry_label, parameter_space
from bayeslmm.formula.nodes import StructureWord

# The rows of a streamed design are absent. Readers take them for arrays: any use of an
# absent one raises, so no reader need ask.
if TYPE_CHECKING:
    Vector = np.ndarray
    FixedColumns = np.ndarray
    EffectColumns = np.ndarray
    Codes = np.ndarray
    Multiplied = np.ndarray
else:
    Vector = Float[np.ndarray, " n"] | AbsentRows
    FixedColumns = Float[np.ndarray, "n p"] | AbsentRows
    EffectColumns = Float[np.ndarray, "n k"] | AbsentRows
    Codes = Int[np.ndarray, " n"] | AbsentRows
    Multiplied = Float[np.ndarray, "n a"] | AbsentRows

# A mean of less than this many SDs is rounding.
NO_MEAN = 1e-12


@dataclass(frozen=True, slots=True)
class FixedVariable:
    """One fixed-effect variable under bambi's name, with the columns of X it owns.

    ``coords`` is empty for a scalar; else it has one entry for each column, and the
    labels of the columns are ``name[coord]``.
    """

    name: str
    columns: tuple[int, ...]
    coords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EffectVariable:
    """One random-effect variable under bambi's name (``edu|classroom``).

    ``effects`` are its columns in the `GroupTerm`; ``coords`` (empty for a scalar) the
    levels they stand for; ``expr`` the left-hand side (``Machine``).
    """

    name: str
    expr: str
    effects: tuple[int, ...]
    coords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupTerm:
    """One bar term ``(effects | group)``: one covariance block.

    Attributes
    ----------
    label : str
        The term as a reader writes it, ``(Days | Subject)``.
    group : str
        Grouping factor, ``Subject`` or ``a:b``.
    effects : tuple of str
        Names of the k effects per level, ``("Intercept", "Days")``.
    Z : ndarray, shape (n, k)
        Columns whose coefficients vary; units of the predictors.
    codes : ndarray of int, shape (n,)
        Level of each row, 0 .. J-1; every level occurs.
    levels : tuple of str
        Labels of the J levels.
    structure : StructureWord
        Word for the structure of the k x k covariance; `covariance` is the structure.
    variables : tuple of EffectVariable
        Bambi's names for the effects.
    """

    label: str
    group: str
    effects: tuple[str, ...]
    Z: EffectColumns
    codes: Codes
    levels: tuple[str, ...]
    structure: StructureWord
    variables: tuple[EffectVariable, ...]

    @property
    def covariance(self) -> Structure:
        """Structure of the k x k covariance."""
        return STRUCTURES[self.structure]

    @property
    def k(self) -> int:
        """Number of effects per level."""
        return len(self.effects)

    @property
    def n_levels(self) -> int:
        """Number of levels J."""
        return len(self.levels)

    @property
    def is_closed(self) -> bool:
        """Whether the covariances stay in their class if columns are moved.

        So it is if the effects are unstructured and an intercept takes up the move.
        """
        free = self.covariance.unstructured
        return free and "Intercept" in self.effects and self.k > 1


@dataclass(frozen=True, slots=True)
class Design:
    """Arrays of a mixed model, ``y = X beta + sum_t Z_t b_t + offset + e``.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Response, its own units.
    X : ndarray, shape (n, p)
        Fixed-effect columns, treatment coding; may have p = 0.
    fixed : tuple of FixedVariable
        Which columns of X belong to which variable; ``Intercept`` first, if any.
    groups : tuple of GroupTerm
        The bar terms in formula order.
    weights : ndarray, shape (n,), or None
        Precision weights as in lme4: residual variance is sigma**2 / weights.
    offset : ndarray, shape (n,), or None
        Known part of the mean, units of y.
    response : str
        Label of the response.
    account : RowAccount
        Rows used and dropped.
    products : Products, optional
        Which numeric variables are multiplied in X and Z, and what centring them does.
    multiplied : ndarray, shape (n, a), optional
        Values of these variables.
    recorded : Moments, optional
        Moments of a streamed design, whose rows (y, X, weights, offset, and Z and codes
        of the terms) are `AbsentRows`; otherwise they are computed when first asked.
    """

    y: Vector
    X: FixedColumns
    fixed: tuple[FixedVariable, ...]
    groups: tuple[GroupTerm, ...]
    weights: Vector | None
    offset: Vector | None
    response: str
    account: RowAccount
    products: Products = NO_PRODUCTS
    multiplied: Multiplied | None = None
    recorded: InitVar[Moments | None] = None
    # Not part of the value: keeps the moments once they have been computed.
    _kept: list[Moments] = field(
        init=False, repr=False, compare=False, default_factory=list
    )

    def __post_init__(self, recorded: Moments | None) -> None:
        """Keep the moments of a streamed design."""
        if recorded is not None:
            self._kept.append(recorded)

    @property
    def in_memory(self) -> bool:
        """Whether the rows are in memory; False if they were read in batches."""
        return not isinstance(self.y, AbsentRows)

    @property
    def moments(self) -> Moments:
        """Means, SDs and cross-products of the columns, and sizes of the levels."""
        if not self._kept:
            self._kept.append(design_moments(self))
        return self._kept[0]

    def _turn(self, centring: Centring, size: int) -> np.ndarray | None:
        """Combinations of some columns, None where they stay as they are."""
        if not centring.entries:
            return None
        return centring.turn(size, self.centres)

    @property
    def centres(self) -> np.ndarray:
        """Means of the multiplied variables, shape (a,); rounding of 0 is no place."""
        means = self.moments.multiplied
        small = np.abs(means.mean) <= NO_MEAN * means.sd()
        return np.where(small, 0.0, means.mean)

    @property
    def fixed_turn(self) -> np.ndarray | None:
        """B, shape (p, p): the columns ``X B`` are products of centred variables.

        None where that is X itself.
        """
        return self._turn(self.products.fixed, self.p)

    def effect_turn(self, t: int) -> np.ndarray | None:
        """The same for the columns of bar term number t, shape (k, k)."""
        return self._turn(self.products.of_term(t), self.groups[t].k)

    @property
    def fixed_moments(self) -> ColumnMoments:
        """Moments of the columns of X, products being of centred variables."""
        rows = self.X if self.in_memory else None
        return combined_moments(self.moments.X, rows, self.fixed_turn)

    def effect_moments(self, t: int) -> ColumnMoments:
        """The same of bar term number t."""
        rows = self.groups[t].Z if self.in_memory else None
        return combined_moments(self.moments.Z[t], rows, self.effect_turn(t))

    @property
    def n(self) -> int:
        """Number of rows used."""
        return self.y.shape[0] if self.in_memory else self.account.n_used

    @property
    def p(self) -> int:
        """Number of fixed-effect columns."""
        return sum(len(variable.columns) for variable in self.fixed)

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """Labels of the columns of X, ``Intercept``, ``edu``, ``Machine[B]``."""
        names = [""] * self.p
        for variable in self.fixed:
            for i, column in enumerate(variable.columns):
                names[column] = entry_label(variable.name, variable.coords, i)
        return tuple(names)

    @property
    def space(self) -> ParameterSpace:
        """Every parameter, and where each stands in the vector of coordinates."""
        return parameter_space(self.fixed, self.groups)

    @property
    def intercept(self) -> int | None:
        """Column of X that is the intercept, None without one."""
        for variable in self.fixed:
            if variable.name == "Intercept":
                return variable.columns[0]
        return None


def design_moments(design: Design) -> Moments:
    """Moments of the rows of a design that has them in memory.

    Parameters
    ----------
    design : Design
        Arrays of the model.

    Returns
    -------
    Moments
        Of the response, X and every bar term.
    """
    y = column_moments(design.y[:, None])
    net = y
    if design.offset is not None:
        net = column_moments((design.y - design.offset)[:, None])
    return Moments(
        y=y,
        net=net,
        X=column_moments(design.X),
        Z=tuple(column_moments(term.Z) for term in design.groups),
        sizes=tuple(
            np.bincount(term.codes, minlength=term.n_levels) for term in design.groups
        ),
        multiplied=moments_of_any(design.multiplied),
    )
