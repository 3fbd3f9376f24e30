"""Data from a model: new responses at given parameters.

Takes a `Model` or its `Design` and values of beta, the covariance of the random effects
and sigma; gives responses. Random effects are drawn anew for every response, or held at
given values.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm, rows_of
from bayeslmm.design.memory import check_fits
from bayeslmm.design.rows import linear_predictor
from bayeslmm.errors import ModelError, check_count, check_seed, listed, shortened

if TYPE_CHECKING:
    from bayeslmm.spec import ModelSpec

# Rounding allowed below zero in the eigenvalues of a correlation matrix typed by hand.
PSD_TOLERANCE = 1e-10


class Parameters(NamedTuple):
    """Fixed effects, a root of the covariance of each bar term, and residual SD.

    ``residual`` are the ratios and rho of structured residuals; empty without any.
    """

    beta: Float[np.ndarray, " p"]
    factors: tuple[Float[np.ndarray, "_ _"], ...]
    sigma: float
    residual: Float[np.ndarray, " r"] = np.empty(0)


class Simulated(Protocol):
    """A fit that knows the parameters to simulate from."""

    @property
    def model(self) -> "ModelSpec":
        """What was fitted."""
        ...

    def simulation_parameters(
        self, nsim: int, rng: np.random.Generator
    ) -> Iterable[Parameters]:
        """Parameters of each response."""
        ...


def simulate(
    source: "ModelSpec | Design | Simulated",
    nsim: int = 1,
    seed: int | np.random.Generator | None = None,
    *,
    beta: Float[np.ndarray, " p"] | None = None,
    factors: Sequence[Float[np.ndarray, "_ _"]] | None = None,
    sigma: float | None = None,
    effects: Sequence[Float[np.ndarray, "_ _"]] | None = None,
    residual: Mapping[str, float] | Float[np.ndarray, " r"] | None = None,
) -> Float[np.ndarray, "nsim n"]:
    """Responses drawn from a Gaussian mixed model: of a fit, or at given parameters.

    Use it for parametric bootstrap, predictive checks, calibration and power: the rows,
    columns, groups, weights and offset are those of the model, the response is new. As
    lme4's ``simulate``, with random effects drawn anew.

    Parameters
    ----------
    source : RemlFit, Posterior, Fit, Model or Design
        A fit: of REML the estimates are the parameters, of a posterior one of its draws
        for each response; of `Fit`, its REML fit. Or a model (or its arrays), whose
        own response is not looked at, with parameters.
    nsim : int, default 1
        Number of responses.
    seed : int or numpy.random.Generator, optional
        Same seed, same responses; by default another each time.
    beta : ndarray, shape (p,)
        Fixed effects in the order of ``design.fixed_names``, units of y per unit of x.
    factors : sequence of ndarray, shape (k, k)
        One root L of the covariance L L' of the random effects for each bar term, in
        formula order, units of y; `sd_corr_to_factor` makes one from SDs.
    sigma : float
        Residual SD at weight 1, units of y.
    effects : sequence of ndarray, shape (J, k), optional
        Random effects to hold fixed, one array for each bar term. By default they are
        drawn from N(0, L L') anew for every response.
    residual : dict of str to float, optional
        Of a model with structured residuals their parameters by label,
        ``{"sigma_ratio[late]": 1.5, "rho": 0.4}``, or in the order of its tables.

    Returns
    -------
    ndarray, shape (nsim, n)
        Responses, one in each row, units of y.

    Raises
    ------
    ModelError
        If the family is not Gaussian, a parameter has the wrong shape or a negative or
        non-finite value, or a model comes without them and a fit with them.

    See Also
    --------
    sd_corr_to_factor : the root L from SDs and correlations.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> simulate(model.fit_reml(), nsim=3, seed=1).shape
    (3, 240)
    >>> y = simulate(
    ...     model,
    ...     nsim=100,
    ...     seed=1,
    ...     beta=np.array([10.0, 0.5]),
    ...     factors=[sd_corr_to_factor(np.array([2.0]))],
    ...     sigma=1.0,
    ... )
    >>> y.shape == (100, len(pupils))
    True
    """
    nsim = check_count(nsim, "nsim", 1)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    given = {"beta": beta, "factors": factors, "sigma": sigma, "residual": residual}
    design = _gaussian_design(source)
    check_fits(
        2 * 8.0 * nsim * design.n,
        f"{nsim:,} simulated responses of {design.n:,} rows",
        "Simulate fewer at a time.",
    )
    own = getattr(source, "simulation_parameters", None)
    if own is not None:
        _refuse_both(
            source, [name for name, value in given.items() if value is not None]
        )
        sets = own(nsim, rng)
    else:
        if beta is None or factors is None or sigma is None:
            raise ModelError(
                "A model has no parameters to simulate from before it is fitted: give "
                "beta, factors and sigma, or a fit: simulate(model.fit_reml(), "
                "nsim=100, seed=1)."
            )
        one = Parameters(
            _numbers(beta, "beta"),
            _arrays(factors, "factors"),
            float(_numbers(sigma, "sigma", ndim=0)),
            residual_values(design, residual),
        )
        sets = [one] * nsim
    held = None if effects is None else _arrays(effects, "effects")
    responses = []
    for one in sets:
        _check_parameters(design, one, held)
        responses.append(one_response(design, one, held, rng))
    return np.stack(responses)


def responses_at(
    design: Design, parameters: Parameters, nsim: int, rng: np.random.Generator
) -> Float[np.ndarray, "nsim n"]:
    """Responses at parameters that are known to be right, for many fits in a row."""
    return np.stack([one_response(design, parameters, None, rng) for _ in range(nsim)])


def _numbers(value: object, name: str, ndim: int = 1) -> Float[np.ndarray, "..."]:
    """The value as an array of numbers with so many dimensions."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if array.dtype.kind not in "iuf" or array.ndim != ndim:
        what = ("one number", "a list of numbers", "a matrix of numbers")[ndim]
        raise ModelError(
            f"{name} must be {what}, not {shortened(value)} ({type(value).__name__})."
        )
    return array.astype(float)


def _arrays(value: object, name: str) -> tuple[Float[np.ndarray, "_ _"], ...]:
    """One matrix for each bar term, in a list."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise ModelError(
            f"{name} must be a list with one matrix for each bar term, not "
            f"{shortened(value)} ({type(value).__name__})."
        )
    return tuple(_numbers(one, f"{name}[{i}]", 2) for i, one in enumerate(value))


def _refuse_both(source: object, given: list[str]) -> None:
    """Raise if a fit comes with parameters of its own."""
    if given:
        raise ModelError(
            f"A {type(source).__name__} has its own {' and '.join(given)}. To simulate "
            "at other parameters give its model: simulate(fit.model, beta=..., "
            "factors=..., sigma=...)."
        )


def sd_corr_to_factor(
    sd: Float[np.ndarray, " k"], corr: Float[np.ndarray, "k k"] | None = None
) -> Float[np.ndarray, "k k"]:
    """Root L of the covariance with these SDs and correlations.

    Parameters
    ----------
    sd : ndarray, shape (k,)
        SDs of the random effects, units of y per unit of the column; may be 0.
    corr : ndarray, shape (k, k), optional
        Their correlations, unit-free; independent by default, +-1 allowed.

    Returns
    -------
    ndarray, shape (k, k)
        L with L L' the covariance, lower triangular.

    Raises
    ------
    ModelError
        If an SD is negative or no number, or `corr` is no correlation matrix of these.

    Examples
    --------
    >>> import numpy as np
    >>> import bayeslmm as lmm
    >>> corr = np.array([[1.0, -0.4], [-0.4, 1.0]])
    >>> root = lmm.sd_corr_to_factor(np.array([2.0, 0.5]), corr)
    >>> (root @ root.T).round(6).tolist()
    [[4.0, -0.4], [-0.4, 0.25]]
    """
    sd = _numbers(sd, "sd")
    corr = np.eye(len(sd)) if corr is None else _numbers(corr, "corr", 2)
    if not len(sd) or corr.shape != (len(sd), len(sd)):
        raise ModelError(
            f"{len(sd)} SDs need correlations of shape ({len(sd)}, {len(sd)}), and "
            f"corr has {corr.shape}. Give one SD for each effect, and their matrix."
        )
    finite = np.isfinite(sd).all() and np.isfinite(corr).all()
    if not finite or np.any(sd < 0) or not np.allclose(np.diag(corr), 1.0):
        raise ModelError(
            f"SDs {sd.tolist()} with correlations {corr.tolist()} are no covariance: "
            "an SD is at least 0, and a correlation matrix has 1 on its diagonal."
        )
    values, vectors = np.linalg.eigh(corr)
    if values[0] < -PSD_TOLERANCE or not np.allclose(corr, corr.T):
        raise ModelError(
            f"Correlations {corr.tolist()} cannot hold together: their smallest "
            f"eigenvalue is {values[0]:.3g}. Move them towards 0."
        )
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    L = np.linalg.qr(root.T)[1].T  # root root' = R'R, also where Cholesky would fail
    return sd[:, None] * L * np.where(np.diag(L) < 0, -1.0, 1.0)


def one_response(
    design: Design,
    given: Parameters,
    effects: Sequence[Float[np.ndarray, "_ _"]] | None,
    rng: np.random.Generator,
) -> Float[np.ndarray, " n"]:
    """X beta + offset + Z b + e with b drawn or given."""
    rows = rows_of(design, "simulated responses")
    if effects is None:
        effects = random_effects(design, given.factors, rng)
    y = linear_predictor(rows, given.beta, effects)
    weights = 1.0 if rows.weights is None else rows.weights
    noise = rng.normal(size=design.n) * given.sigma / np.sqrt(weights)
    structure, own = design.residual, rows.residual
    if structure is not None and own is not None:
        noise = structure.correlate(own, given.residual, noise * np.sqrt(weights))
        noise *= structure.scale(own, given.residual) / np.sqrt(weights)
    return y + noise


def residual_values(
    design: Design, given: Mapping[str, object] | Float[np.ndarray, " r"] | None
) -> Float[np.ndarray, " r"]:
    """Ratios and rho of structured residuals by their labels, all of them and no more.

    Raises
    ------
    ModelError
        If one is missing, unknown, or outside its range.
    """
    known = () if design.residual is None else design.residual.parameters
    labels = [p.label for p in known]
    if isinstance(given, np.ndarray) and len(given) == len(labels):
        given = dict(zip(labels, given.tolist(), strict=True))
    given = {} if given is None else dict(given)
    odd = [key for key in given if key not in labels]
    missing = [label for label in labels if label not in given]
    if odd or missing:
        has = f"has {listed(labels)}" if labels else "has no structured residuals"
        said = f"not {listed(odd)}" if odd else f"and {listed(missing)} has no value"
        raise ModelError(
            f"residual= has a value for each parameter of the residuals: the model "
            f"{has}, {said}."
        )
    values = [float(_numbers(given[label], label, ndim=0)) for label in labels]
    for p, value in zip(known, values, strict=True):
        low, high = p.bounds
        if not low < value < high:
            raise ModelError(
                f"{p.label} is {p.words}: between {low:.3g} and {high:.3g}, not "
                f"{value:g}."
            )
    return np.array(values)


def random_effects(
    design: Design,
    factors: Sequence[Float[np.ndarray, "_ _"]],
    rng: np.random.Generator,
) -> list[Float[np.ndarray, "_ _"]]:
    """Random effects of each bar term, shape (J, k), from N(0, L L')."""
    return [
        rng.normal(size=(term.n_levels, term.k)) @ L.T
        for term, L in zip(design.groups, factors, strict=True)
    ]


def _gaussian_design(source: "ModelSpec | Design | Simulated") -> Design:
    """Arrays of a model or a fit, if its family is the one that is simulated."""
    if isinstance(source, Design):
        return source
    model: Any = getattr(source, "model", source)
    if not hasattr(model, "family"):
        raise ModelError(
            f"simulate takes a fit or a model, not a {type(source).__name__}."
        )
    if model.family != "gaussian":
        raise ModelError(
            f"simulate draws Gaussian responses, and the family is {model.family!r}. "
            "Draw from the PyMC model instead: pymc.draw over model.to_pymc()."
        )
    return model.design


def _check_parameters(
    design: Design,
    given: Parameters,
    effects: Sequence[Float[np.ndarray, "_ _"]] | None,
) -> None:
    """Shapes and ranges, named as the user gave them."""
    beta, factors, sigma = given.beta, given.factors, given.sigma
    if beta.shape != (design.p,):
        raise ModelError(
            f"beta has {beta.size} values and the model {design.p} fixed effects: "
            f"{', '.join(design.fixed_names)}."
        )
    most = max(len(factors), len(effects or ()))
    if most > len(design.groups):
        raise ModelError(
            f"factors and effects have one matrix for each bar term, in a list: "
            f"{len(design.groups)} here, not {most}."
        )
    for t, term in enumerate(design.groups):
        _check_shape("factors", t, term, factors, (term.k, term.k))
        if effects is not None:
            _check_shape("effects", t, term, effects, (term.n_levels, term.k))
    arrays = [beta, np.array(sigma), *factors, *(effects or ())]
    if sigma < 0 or not all(np.isfinite(array).all() for array in arrays):
        raise ModelError(
            f"Parameters must be finite and sigma at least 0; sigma is {sigma}, beta "
            f"{beta.tolist()}."
        )


def _check_shape(
    name: str,
    t: int,
    term: GroupTerm,
    arrays: Sequence[Float[np.ndarray, "_ _"]],
    shape: tuple[int, int],
) -> None:
    """One array for each bar term, of the right shape."""
    seen = arrays[t].shape if t < len(arrays) else "missing"
    if seen != shape:
        raise ModelError(
            f"{name}[{t}] is for the term {term.label} with the effects "
            f"{', '.join(term.effects)} and must have shape {shape}; it is {seen}."
        )
