"""The structures of lme4 2.0 and how many parameters each has."""

from bayeslmm.formula.nodes import STRUCTURE_WORDS, Structure as Structure

STRUCTURES = STRUCTURE_WORDS


def is_homogeneous(structure: Structure) -> bool:
    """Whether all effects of a level share one SD."""
    return structure in ("homdiag", "homcs", "ar1")


def n_sd(structure: Structure, k: int) -> int:
    """Number of free SDs of a term with k effects."""
    return 1 if is_homogeneous(structure) else k


def n_corr(structure: Structure, k: int) -> int:
    """Number of free correlations of a term with k effects."""
    if k == 1 or structure in ("diag", "homdiag"):
        return 0
    return k * (k - 1) // 2 if structure == "us" else 1


def n_theta(structure: Structure, k: int) -> int:
    """Number of variance parameters of a term with k effects."""
    return n_sd(structure, k) + n_corr(structure, k)


def is_full(structure: Structure, k: int) -> bool:
    """Whether a structure is the unstructured covariance under another name.

    So are ``cs`` and ``hetar1`` of two effects.
    """
    return n_theta(structure, k) == k * (k + 1) // 2
