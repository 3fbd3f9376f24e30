"""From the linear predictor to the response: what is fitted, for every family.

Takes draws of the linear predictor and of the family's other parameters; gives the
expected response in the units of the response, so that response less fitted is a
residual: counts for counts out of trials, not a probability.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from bayeslmm.design.evaluate import NumericColumn, Rows, evaluate_atom
from bayeslmm.design.frame import open_frame
from bayeslmm.design.rows import read_columns, read_weights
from bayeslmm.errors import DataError
from bayeslmm.priors import FAMILIES
from bayeslmm.priors.families import WITH_TRIALS
from bayeslmm.spec import ModelSpec

Draws = Float[np.ndarray, "chain draw m"]
Others = Mapping[str, Float[np.ndarray, "chain draw 1"]]

INVERSE_LINKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "logit": lambda eta: 0.5 * (1.0 + np.tanh(0.5 * eta)),
    "inverse": np.reciprocal,
    "inverse_squared": lambda eta: eta**-0.5,
}


def _truncated_poisson(mu: np.ndarray) -> np.ndarray:
    """Mean of a Poisson count that is not 0; 1 in the limit of mu = 0."""
    return np.where(mu > 0.0, mu / -np.expm1(-np.maximum(mu, 1e-300)), 1.0)


def _truncated_negativebinomial(mu: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Mean of a negative binomial count that is not 0; 1 in the limit of mu = 0."""
    zero = -alpha * np.log1p(mu / alpha)  # log probability of 0
    return np.where(mu > 0.0, mu / -np.expm1(np.minimum(zero, -1e-300)), 1.0)


# Mean of the response where it is not the inverse link of the linear predictor alone,
# in PyMC's parameters (psi is the probability of what is not an extra zero).
_MEANS: dict[str, Callable[[np.ndarray, Others], np.ndarray]] = {
    "asymmetriclaplace": lambda mu, o: (
        mu + (1.0 - o["kappa"] ** 2) / (o["kappa"] * o["b"])
    ),
    "exgaussian": lambda mu, o: mu + o["nu"],
    "hurdle_gamma": lambda mu, o: o["psi"] * mu,
    "hurdle_lognormal": lambda mu, o: o["psi"] * np.exp(mu + 0.5 * o["sigma"] ** 2),
    "hurdle_negativebinomial": lambda mu, o: (
        o["psi"] * _truncated_negativebinomial(mu, o["alpha"])
    ),
    "hurdle_poisson": lambda mu, o: o["psi"] * _truncated_poisson(mu),
    "lognormal": lambda mu, o: np.exp(mu + 0.5 * o["sigma"] ** 2),
    "zero_inflated_binomial": lambda p, o: o["psi"] * p,
    "zero_inflated_negativebinomial": lambda mu, o: o["psi"] * mu,
    "zero_inflated_poisson": lambda mu, o: o["psi"] * mu,
}


def expected_response(
    family: str,
    eta: Draws,
    others: Others,
    trials: Float[np.ndarray, " m"] | None,
) -> Draws:
    """Expected response at a linear predictor, units of the response.

    Parameters
    ----------
    family : str
        Family of the response.
    eta : ndarray, shape (chain, draw, m)
        Linear predictor.
    others : mapping of str to ndarray, shape (chain, draw, 1)
        The other parameters of the family.
    trials : ndarray, shape (m,), or None
        Number of trials, of the families that count out of trials.

    Returns
    -------
    ndarray, shape (chain, draw, m)
        Counts for counts (out of trials: trials times the probability); the direction
        for angles.
    """
    mean = INVERSE_LINKS[FAMILIES[family][1]](eta)
    if family in _MEANS:
        mean = _MEANS[family](mean, others)
    return mean if trials is None else trials * mean


def new_trials(model: ModelSpec, newdata: object) -> Float[np.ndarray, " m"] | None:
    """Number of trials of new rows, None for a family without.

    Raises
    ------
    DataError
        If the new data lack a column that says it, or it is no number of trials.
    """
    if model.family not in WITH_TRIALS:
        return None
    atom, frame = model.formula.trials, open_frame(newdata)
    assert atom is not None, "a family with trials was fitted to a response with trials"
    lacking = [name for name in atom.columns if name not in frame.columns]
    if lacking:
        raise DataError(
            f"The expected response counts successes out of {atom.label}, but the new "
            f"data have no column {lacking[0]!r}. Add the number of trials of each row "
            "(1 gives the probability), or use kind='linear'."
        )
    columns = read_columns(frame, model.formula, tuple(atom.columns))
    rows = Rows(columns, len(frame), model.recipe.memory, False, model.formula.text)
    column = evaluate_atom(atom, rows)
    trials = column.values[:, 0] if isinstance(column, NumericColumn) else None
    if trials is None or not (trials >= 0.0).all() or (trials % 1.0 != 0.0).any():
        raise DataError(
            f"{atom.label}, the number of trials, must be a whole number of at least 0 "
            "in every row of the new data."
        )
    return trials


def new_weights(model: ModelSpec, newdata: object) -> Float[np.ndarray, " m"] | None:
    """Precision weights of new rows, None for a model without.

    Raises
    ------
    DataError
        If the model has weights and the new data do not say theirs.
    """
    if model.design.weights is None:
        return None
    frame, name = open_frame(newdata), model.weights_column
    if name is None:
        raise DataError(
            "The noise of a new response is sigma / sqrt(weight), and the weights of "
            "this model were given as an array, so new rows have none. Fit with "
            "weights='<column>' and have that column in the new data."
        )
    return read_weights(frame, name, np.arange(len(frame)))
