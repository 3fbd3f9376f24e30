"""The design of a mixed model: what its rows are, and under which names.

Takes names, levels and `Rows`; gives the `Design` from which every computation starts.
Needs numpy only.
"""

from dataclasses import InitVar, dataclass, field

import numpy as np

from bayeslmm.covariance import STRUCTURES, Structure
from bayeslmm.design.account import RowAccount
from bayeslmm.design.centring import NO_PRODUCTS, Centring, Products
from bayeslmm.design.moments import ColumnMoments, Moments, combined_moments
from bayeslmm.design.residual import ResidualStructure
from bayeslmm.design.rows import Rows, absence, rows_moments
from bayeslmm.design.space import ParameterSpace, entry_label, parameter_space
from bayeslmm.errors import ModelError
from bayeslmm.formula.nodes import StructureWord

# A mean of less than this many SDs is rounding.
NO_MEAN = 1e-12


# What a column stands for: the atoms of its term, factors with the level of each.
Cell = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class FixedVariable:
    """One fixed-effect variable under bambi's name, with the columns of X it owns.

    ``coords`` is empty for a scalar; else it has one entry for each column, and the
    labels of the columns are ``name[coord]``. ``cells`` has one entry for each column
    where it comes from a term.
    """

    name: str
    columns: tuple[int, ...]
    coords: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()


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
    levels : tuple of str
        Labels of the J levels; every level occurs.
    structure : StructureWord
        Word for the structure of the k x k covariance; `covariance` is the structure.
    variables : tuple of EffectVariable
        Bambi's names for the effects.
    """

    label: str
    group: str
    effects: tuple[str, ...]
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
    """What the rows of a mixed model are; the rows themselves where they are in memory.

    Attributes
    ----------
    fixed : tuple of FixedVariable
        Which columns of X belong to which variable; ``Intercept`` first, if any.
    groups : tuple of GroupTerm
        The bar terms in formula order.
    response : str
        Label of the response.
    account : RowAccount
        Rows used and dropped.
    rows : Rows or None
        y, X, Z, ...; None if they were read in batches and let go, or not saved:
        `rows_of` gives them or says so.
    products : Products, optional
        Which numeric variables are multiplied in X and Z, and what centring them does.
    source : str, optional
        Where rows that are not in memory were read, ``'data.parquet'``.
    has_weights : bool, optional
        Whether rows have precision weights.
    residual : ResidualStructure or None, optional
        What the residuals are like; None if they are independent with one SD.
    unsaved : str, optional
        SHA-256 of rows that were not saved with the fit; empty for all others.
    recorded : Moments, optional
        Moments of rows that are not in memory; otherwise they are computed when first
        asked for.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> model.design.fixed_names, model.design.groups[0].label
    (('Intercept', 'edu'), '(1 | classroom)')
    >>> model.design.rows.X.shape
    (120, 2)
    """

    fixed: tuple[FixedVariable, ...]
    groups: tuple[GroupTerm, ...]
    response: str
    account: RowAccount
    rows: Rows | None
    products: Products = NO_PRODUCTS
    source: str = "the data"
    has_weights: bool = False
    residual: ResidualStructure | None = None
    unsaved: str = ""
    recorded: InitVar[Moments | None] = None
    # Not part of the value: moments and parameters once they have been computed.
    _kept: list[Moments] = field(
        init=False, repr=False, compare=False, default_factory=list
    )
    _spaces: list[ParameterSpace] = field(
        init=False, repr=False, compare=False, default_factory=list
    )

    def __post_init__(self, recorded: Moments | None) -> None:
        """Keep the moments of a streamed design."""
        if recorded is not None:
            self._kept.append(recorded)

    @property
    def moments(self) -> Moments:
        """Means, SDs and cross-products of the columns, and sizes of the levels."""
        if not self._kept:
            rows = rows_of(self, "moments of the columns")
            sizes = tuple(
                np.bincount(codes, minlength=term.n_levels)
                for codes, term in zip(rows.codes, self.groups, strict=True)
            )
            self._kept.append(rows_moments(rows, sizes))
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
        rows = self.rows and self.rows.X
        return combined_moments(self.moments.X, rows, self.fixed_turn)

    def effect_moments(self, t: int) -> ColumnMoments:
        """The same of bar term number t."""
        rows = self.rows and self.rows.Z[t]
        return combined_moments(self.moments.Z[t], rows, self.effect_turn(t))

    @property
    def n(self) -> int:
        """Number of rows used."""
        return self.account.n_used

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
        if not self._spaces:
            own = self.residual.parameters if self.residual is not None else ()
            self._spaces.append(parameter_space(self.fixed, self.groups, own))
        return self._spaces[0]

    @property
    def intercept(self) -> int | None:
        """Column of X that is the intercept, None without one."""
        for variable in self.fixed:
            if variable.name == "Intercept":
                return variable.columns[0]
        return None


def check_terms(design: Design, what: str) -> None:
    """Raise `ModelError` for `what`, a plural, of a model without bar terms."""
    if not design.groups:
        raise ModelError(
            f"This model has no bar term, and so no {what}. Add one, such as "
            f"(1 | group), to the formula."
        )


def rows_of(design: Design, what: str) -> Rows:
    """The rows of a design, which `what` needs: "fitted values of all rows".

    Parameters
    ----------
    design : Design
        What the rows are.
    what : str
        What they are needed for, a plural that starts the reason.

    Raises
    ------
    DataError
        If the rows were read in batches, or not saved with the fit.
    """
    if design.rows is None:
        raise absence(design.source, what, saved=bool(design.unsaved))
    return design.rows
