"""The dense Schur complement where every level of the rest has one effect.

Relative factors are then one number for each coordinate, and each step is one pass over
a lower triangle: half of what products of whole matrices take, which with a thousand
coordinates cost as much as LAPACK. Lengths: m coordinates, w columns of [X y].
"""

from bayeslmm.marginal.kernels import plain
from bayeslmm.marginal.kernels.compiling import compiled_fast_after


@compiled_fast_after(plain.scale_scalars)
def scale_scalars(R, scale, S):
    """Lower triangle of ``S = Lambda'R Lambda + I``, from that of R."""
    for i in range(R.shape[0]):
        own = scale[i]
        for c in range(i + 1):
            S[i, c] = own * R[i, c] * scale[c]
        S[i, i] += 1.0


@compiled_fast_after(plain.project_scalars)
def project_scalars(R, scale, t, inverse, Rt, D):
    """Rt = R t, D = diagonal of ``R Lambda S^-1``, and S^-1 <- Lambda S^-1 Lambda'.

    R and S^-1 by their lower triangles; t and Rt are (w, m), D is (m,).
    """
    m, w = R.shape[0], t.shape[0]
    Rt[:] = 0.0
    for i in range(m):
        own, total = scale[i], 0.0
        for c in range(i):
            product = R[i, c] * inverse[i, c]
            total += product * scale[c]
            D[c] += product * own
            inverse[i, c] *= own * scale[c]
        D[i] = total + R[i, i] * own * inverse[i, i]
        inverse[i, i] *= own * own
        for d in range(w):
            ti, total = t[d, i], 0.0
            for c in range(i):
                total += R[i, c] * t[d, c]
                Rt[d, c] += R[i, c] * ti
            Rt[d, i] += total + R[i, i] * ti
