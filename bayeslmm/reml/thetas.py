"""Theta of one bar term in safe coordinates, where a minimum is searched.

The entries of the factor of an unstructured term; for the others SDs relative to sigma,
of columns of the data with mean square 1, then the angles of the correlations. Takes
a structure and the way from such columns to safe ones, gives a `ThetaBlock`.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular

from bayeslmm.covariance import (
    STRUCTURES,
    Structure,
    angle_bounds,
    angle_pullback,
    angle_start,
    angle_to_factor,
)
from bayeslmm.formula.nodes import PLAIN

# How far from the ends of their range the angles are searched: at the very end the
# gradient is 0 whatever lies beyond. The correlation there is 1 to 13 digits.
INSIDE = 1e-6
# A row of a factor this small beside the products that it is the sum of is rounding.
RELATIVE_ZERO = 1e-14


@dataclass(frozen=True, slots=True)
class ThetaBlock:
    """Where one term lives in the flat theta, and what its entries mean.

    Attributes
    ----------
    structure : Structure
        Its structure, ``us`` for all that are the same under another name.
    k : int
        Effects per level.
    n_levels : int
        Levels.
    where : slice
        Its part of theta.
    size : ndarray, shape (k,)
        Root mean squares of the data's columns; equal for a homogeneous term.
    lift : ndarray, shape (k, k)
        Lower triangular; takes the factor that theta says to safe columns.
    """

    structure: Structure
    k: int
    n_levels: int
    where: slice
    size: Float[np.ndarray, " k"]
    lift: Float[np.ndarray, "k k"]

    @property
    def is_shared(self) -> bool:
        """Whether pairs of effects share correlations."""
        return self.structure.is_shared(self.k)

    def factor(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, "k k"]:
        """Factor in safe coordinates."""
        own = angle_to_factor(self.structure, theta, self.k)
        return own if self.structure.unstructured else self.lift @ own

    def data_factor(
        self, theta: Float[np.ndarray, " m"], spread: Float[np.ndarray, "k k"]
    ) -> Float[np.ndarray, "k k"]:
        """Factor of the data's columns; a row that is rounding is 0.

        `spread` leads there from safe columns, where theta itself does not.
        """
        if not self.structure.unstructured:
            own = angle_to_factor(self.structure, theta, self.k)
            return own / self.size[:, None]
        safe = self.factor(theta)
        size = np.abs(spread) @ np.abs(safe)
        factor = spread @ safe
        held = np.abs(factor).max(axis=1) > RELATIVE_ZERO * size.max(axis=1)
        return factor * held[:, None]

    def pullback(
        self, theta: Float[np.ndarray, " m"], d_factor: Float[np.ndarray, "k k"]
    ) -> Float[np.ndarray, " m"]:
        """Gradient with respect to theta from that with respect to the factor."""
        if not self.structure.unstructured:
            d_factor = self.lift.T @ np.tril(d_factor)
        return angle_pullback(self.structure, theta, self.k, d_factor)

    def linear(self) -> Float[np.ndarray, "m k k"] | None:
        """Derivative of the factor by each theta where it is linear in them all."""
        if self.is_shared:
            return None
        k, found = (
            self.k,
            np.zeros((self.where.stop - self.where.start, self.k, self.k)),
        )
        if self.structure.unstructured:
            columns, rows = np.triu_indices(k)
            found[np.arange(len(found)), rows, columns] = 1.0
        else:
            sds = np.minimum(np.arange(k), len(found) - 1)
            found[sds, :, np.arange(k)] = self.lift.T
        return found

    def slopes(self, theta: Float[np.ndarray, " m"]) -> list[Float[np.ndarray, "k k"]]:
        """Derivative of the factor with respect to each theta, by the pullback."""
        found = np.zeros((len(theta), self.k, self.k))
        for i, j in zip(*np.tril_indices(self.k), strict=True):
            unit = np.zeros((self.k, self.k))
            unit[i, j] = 1.0
            found[:, i, j] = self.pullback(theta, unit)
        return list(found)

    def frame(
        self,
        theta: Float[np.ndarray, " m"],
        free: Bool[np.ndarray, " m"],
        noise: float,
    ) -> Float[np.ndarray, "m f"]:
        """Directions of the free entries that each count as one step.

        One is 1, or the largest entry. Under shared correlations it is also no longer
        than a change of the safe covariance by its own size and the variance `noise` of
        its error: where columns are nearly parallel, such steps differ in length by
        orders of magnitude, and go along no axis.
        """
        units = np.full(len(theta), max(1.0, np.abs(theta).max()))
        if not (self.is_shared and free.any()):
            return np.diag(units)[:, free]
        units[self.structure.n_sd(self.k) :] = 1.0
        factor = self.factor(theta)
        whole = factor @ factor.T + noise * np.eye(self.k)
        root = solve_triangular(np.linalg.cholesky(whole), np.eye(self.k), lower=True)
        changes = [root @ slope @ (root @ factor).T for slope in self.slopes(theta)]
        sized = np.array([(half + half.T).ravel() for half in changes]).T * units
        metric = np.vstack([sized, np.eye(len(theta))])[:, free]
        upper = np.linalg.qr(metric, mode="r")
        steps = solve_triangular(upper, np.eye(len(upper)))
        found = np.zeros((len(theta), len(upper)))
        found[free] = units[free, None] * steps * np.sign(np.diag(upper))
        return found

    def bounds(self) -> list[tuple[float, float]]:
        """Lower and upper bound of each theta."""
        found = angle_bounds(self.structure, self.k)
        if self.is_shared:
            n = self.structure.n_corr(self.k)
            found[-n:] = [(INSIDE, math.pi - INSIDE)] * n
        return found

    def start(self) -> Float[np.ndarray, " m"]:
        """Every effect as large as the noise, no correlation."""
        return angle_start(self.structure, self.k)

    def from_relative(
        self, sd: Float[np.ndarray, " k"], corr: Float[np.ndarray, " c"]
    ) -> Float[np.ndarray, " m"]:
        """Theta of SDs relative to sigma, per unit of the data's columns."""
        found = (sd * self.size)[: self.structure.n_sd(self.k)]
        return np.append(found, self.structure.angles(corr, self.k))


def make_block(
    structure: Structure,
    basis: Float[np.ndarray, "k k"],
    n_levels: int,
    where: slice,
) -> ThetaBlock:
    """The block of a term at its place in theta; `basis` gives its safe columns."""
    k = len(basis)
    structure = STRUCTURES[PLAIN] if structure.is_full(k) else structure
    lift = solve_triangular(basis, np.eye(k), lower=True)
    size = np.linalg.norm(lift, axis=0)  # the safe columns have mean square 1
    if structure.homogeneous:
        top = size.max()
        size = np.full(k, top * math.sqrt(np.square(size / top).mean()))
    return ThetaBlock(structure, k, n_levels, where, size, lift / size)
