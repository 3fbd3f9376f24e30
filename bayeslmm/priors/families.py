"""The families a mixed model may have, as bambi names them.

Takes and gives names only, so that a family can be checked without importing bambi; a
test holds the table equal to bambi's own.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bayeslmm.errors import ModelError, is_choice, nearest_names

# family -> (parameter that the formula models, its link, the other parameters)
FAMILIES: Mapping[str, tuple[str, str, tuple[str, ...]]] = MappingProxyType(
    {
        "asymmetriclaplace": ("mu", "identity", ("b", "kappa")),
        "bernoulli": ("p", "logit", ()),
        "beta": ("mu", "logit", ("kappa",)),
        "beta_binomial": ("mu", "logit", ("kappa",)),
        "binomial": ("p", "logit", ()),
        "exgaussian": ("mu", "identity", ("sigma", "nu")),
        "exponential": ("mu", "log", ()),
        "gamma": ("mu", "inverse", ("alpha",)),
        "gaussian": ("mu", "identity", ("sigma",)),
        "hurdle_gamma": ("mu", "log", ("alpha", "psi")),
        "hurdle_lognormal": ("mu", "identity", ("sigma", "psi")),
        "hurdle_negativebinomial": ("mu", "log", ("alpha", "psi")),
        "hurdle_poisson": ("mu", "log", ("psi",)),
        "laplace": ("mu", "identity", ("b",)),
        "lognormal": ("mu", "identity", ("sigma",)),
        "negativebinomial": ("mu", "log", ("alpha",)),
        "poisson": ("mu", "log", ()),
        "t": ("mu", "identity", ("sigma", "nu")),
        "vonmises": ("mu", "identity", ("kappa",)),
        "wald": ("mu", "inverse_squared", ("lam",)),
        "weibull": ("mu", "log", ("alpha",)),
        "zero_inflated_binomial": ("p", "logit", ("psi",)),
        "zero_inflated_negativebinomial": ("mu", "log", ("alpha", "psi")),
        "zero_inflated_poisson": ("mu", "log", ("psi",)),
    }
)
# Parameters in units of y, which take the prior of sigma where there is no own one.
SCALES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"asymmetriclaplace": ("b",), "exgaussian": ("nu",), "laplace": ("b",)}
)
WITH_TRIALS = ("beta_binomial", "binomial", "zero_inflated_binomial")


SEVERAL_PREDICTORS = (
    "categorical",
    "cumulative",
    "sratio",
    "multinomial",
    "dirichlet_multinomial",
)


def check_family(family: str) -> None:
    """Raise unless `family` names a family with one linear predictor.

    Parameters
    ----------
    family : str
        Name as bambi spells it, ``"gaussian"``, ``"poisson"``, ...

    Raises
    ------
    ModelError
        If the name is unknown, or the family has several linear predictors.
    """
    if is_choice(family, FAMILIES):
        return
    if is_choice(family, SEVERAL_PREDICTORS):
        raise ModelError(
            f"Family {family!r} has one linear predictor for each category, and a bar "
            "term would need a covariance across them, which this package does not "
            "write. Use bambi itself, or a family with one predictor."
        )
    raise ModelError(
        f"Unknown family {family!r}.{nearest_names(str(family), FAMILIES)} "
        f"Known families: {', '.join(FAMILIES)}."
    )
