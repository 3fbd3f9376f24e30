"""A Newton step from a curvature that need not be positive.

Takes a Hessian (or what stands for one) over the free parameters, gives the step with
every curvature made positive and its length bounded, and the fall that it promises.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

# Directions with less curvature than this share of the largest are not stepped along.
FLAT = 1e-7
# Longest Newton step, in steps of the frame.
MAX_STEP = 2.0


@dataclass(frozen=True, slots=True)
class Curvature:
    """Hessian at a theta, along the columns of a frame of its free parameters.

    ``values`` and ``vectors`` are its eigenvalues and vectors.
    """

    theta: Float[np.ndarray, " m"]
    frame: Float[np.ndarray, "m f"]
    free: Bool[np.ndarray, " m"]
    hessian: Float[np.ndarray, "f f"]
    values: Float[np.ndarray, " f"]
    vectors: Float[np.ndarray, "f f"]


def newton_step(
    curvature: Curvature, gradient: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, " m"], float]:
    """Newton step, every curvature made positive, and the fall it promises."""
    slope = curvature.vectors.T @ (curvature.frame.T @ gradient)
    size = np.abs(curvature.values)
    used = size > FLAT * max(size.max(), 1e-300)
    along = np.where(used, -slope / np.where(used, size, 1.0), 0.0)
    length = max(float(np.linalg.norm(along)), 1e-300)
    step = curvature.frame @ (curvature.vectors @ along)
    step *= min(1.0, MAX_STEP / length)
    return step, 0.5 * float(-(along * slope).sum())
