"""`Prior`, one univariate distribution with its reason, and `Priors`, a model's set.

Takes names and numbers, gives values that can be printed, turned into bambi's priors
and back.
"""

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter
from bayeslmm.errors import PriorError, check_fraction

if TYPE_CHECKING:
    import pandas as pd

Matrix = tuple[tuple[float, ...], ...]
"""A matrix by rows, which can be compared and stored."""

FLAT_NAMES = ("Flat", "HalfFlat")


@dataclass(frozen=True, slots=True)
class Prior:
    """A univariate prior in PyMC's words.

    Attributes
    ----------
    name : str
        Name of a PyMC distribution, ``"Normal"``, ``"HalfStudentT"``, ...
    args : tuple of (str, float)
        Its arguments as PyMC names them, in units of the parameter.
    reason : str
        Why this prior, in a few words; not part of equality.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> prior = model.priors.sigma
    >>> prior.name, prior.is_flat
    ('HalfStudentT', False)
    """

    name: str
    args: tuple[tuple[str, float], ...] = ()
    reason: str = field(default="", compare=False)

    @property
    def arguments(self) -> dict[str, float]:
        """The arguments as keywords."""
        return dict(self.args)

    @property
    def is_flat(self) -> bool:
        """Whether the density is constant."""
        return self.name in FLAT_NAMES

    def __str__(self) -> str:
        """``Normal(mu=0, sigma=2.5)``."""
        return f"{self.name}({', '.join(f'{k}={v:.4g}' for k, v in self.args)})"

    def to_bambi(self) -> Any:  # noqa: ANN401 (a bambi.Prior)
        """Bambi's prior object with the same name and arguments."""
        import bambi as bmb

        return bmb.Prior(self.name, auto_scale=False, **self.arguments)

    @classmethod
    def from_bambi(
        cls, prior: object, reason: str = "given as a bambi prior"
    ) -> "Prior":
        """Prior with the name and arguments of a bambi prior.

        Parameters
        ----------
        prior : bambi.Prior
            With numbers as arguments.
        reason : str
            Said in the printed table.

        Returns
        -------
        Prior
            The same distribution.

        Raises
        ------
        PriorError
            If an argument is a prior itself or an array, or a callable is used.
        """
        from bayeslmm.priors.spec import read_spec, scalar_prior

        return scalar_prior(read_spec(prior, "prior"), "prior", reason)


@dataclass(frozen=True, slots=True, repr=False)
class Priors:
    """Every prior of a model.

    Attributes
    ----------
    name : str
        Named set, or ``"custom"``.
    fixed : tuple of Prior
        One for each column of X. The intercept's refers to centred predictors if
        ``center_predictors`` and there are any.
    sd : tuple of tuple of Prior
        For each bar term, one for each free SD.
    corr_eta : tuple of float
        For each bar term, eta of its LKJ prior (not used by a term without
        correlations).
    sigma : Prior
        Residual SD (not used by a family without sigma).
    center_predictors : bool
        Whether the intercept's prior refers to centred predictors, as in bambi.
    family : str
        Family of the response.
    auxiliary : tuple of (str, Prior)
        Priors given for other parameters of the family; bambi's own otherwise.
    labels : tuple of (str, str, str)
        Parameter, prior and reason as printed.
    references : tuple of (tuple of tuple of float, or None)
        For each bar term the matrix T, by rows: its priors of SDs and correlations
        refer to the effects of the columns ``Z T``, which are less their means and have
        products of centred variables. None where they refer to those of Z.
    fixed_reference : tuple of tuple of float, or None
        The same of X, the intercept apart: of which columns the priors of the fixed
        effects mean the coefficients.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> [label for label, _, _ in model.priors.labels]
    ['Intercept', 'edu', '1|classroom_sigma', 'sigma']
    """

    name: str
    fixed: tuple[Prior, ...]
    sd: tuple[tuple[Prior, ...], ...]
    corr_eta: tuple[float, ...]
    sigma: Prior
    center_predictors: bool
    family: str = "gaussian"
    auxiliary: tuple[tuple[str, Prior], ...] = ()
    labels: tuple[tuple[str, str, str], ...] = ()
    references: tuple[Matrix | None, ...] = ()
    fixed_reference: Matrix | None = None
    corr_reason: str = ""
    design: Design | None = field(default=None, compare=False)

    def of(self, parameter: Parameter) -> Prior:
        """Prior of a fixed effect, an SD, sigma or another parameter by its label."""
        if parameter.component == "fixef":
            return self.fixed[parameter.index[0]]
        if parameter.term is None:
            return {**dict(self.auxiliary), "sigma": self.sigma}[parameter.label]
        own = self.sd[parameter.term]  # one for all SDs of a homogeneous term
        return own[min(parameter.index[0], len(own) - 1)]

    @property
    def scales(self) -> tuple[Prior, ...]:
        """Those of sigma and of all SDs."""
        return (self.sigma, *(prior for own in self.sd for prior in own))

    @property
    def centered(self) -> tuple[bool, ...]:
        """For each bar term, whether its priors refer to columns less their means."""
        return tuple(T is not None for T in self.reference)

    @property
    def reference(self) -> tuple[Float[np.ndarray, "_k _k"] | None, ...]:
        """For each bar term T, None if that is the identity.

        Effects of the data's columns are T times those that the priors refer to.
        """
        given = self.references or (None,) * len(self.sd)
        return tuple(None if T is None else np.array(T) for T in given)

    @property
    def fixed_turn(self) -> Float[np.ndarray, "p p"] | None:
        """The same of the fixed effects; None if that is the identity."""
        return None if self.fixed_reference is None else np.array(self.fixed_reference)

    def meaning(self, *, prob: float = 0.95) -> "pd.DataFrame":
        """What the priors say, in the units of the data, and of shares of variance.

        Parameters
        ----------
        prob : float, default 0.95
            Probability of the equal-tailed intervals.

        Returns
        -------
        DataFrame
            Index ``label``: every parameter, and of a Gaussian model ``ICC``,
            ``R2 (fixed effects)`` and ``R2 (all)``, which the priors imply together,
            by 4,000 draws of them with a fixed seed, averaged over the rows as
            ``icc()`` and ``r2()`` of a fit. Columns ``prior``, ``median``, ``lower``,
            ``upper`` in units of the parameter (NaN of a flat prior) and ``words``.
            An intercept is that at the mean of the predictors where the printed
            priors say so.

        Raises
        ------
        ModelError
            If `prob` is no probability.
        PriorError
            If these are no priors of a model.
        """
        from bayeslmm.priors.meaning import meaning_table

        check_fraction(prob, "prob")
        if self.design is None:
            raise PriorError("These priors belong to no model: ask model.priors.")
        return meaning_table(self, self.design, prob)

    def __repr__(self) -> str:
        """Tables of parameter, prior and reason, and of what each prior says."""
        head = f"Priors {self.name!r}"
        widths = [max((len(row[i]) for row in self.labels), default=0) for i in (0, 1)]
        lines = [
            f"  {label:<{widths[0]}}  {prior:<{widths[1]}}  {reason}".rstrip()
            for label, prior, reason in self.labels
        ]
        if self.design is not None:
            from bayeslmm.priors.meaning import meaning_lines

            lines += ["What they say", *meaning_lines(self, self.design)]
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        """The same table for a notebook."""
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.labels
        )
        return (
            f"<table><caption>Priors {html.escape(self.name)}</caption>"
            "<thead><tr><th>parameter</th><th>prior</th><th>reason</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )


def check_number(value: object, what: str) -> float:
    """`value` as a finite float, or a `PriorError` that says what it is for."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise PriorError(f"{what} must be a number, not {value!r}.") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise PriorError(f"{what} must be finite, not {number}.")
    return number
