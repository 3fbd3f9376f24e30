"""Kernel for one grouping factor with two effects per level, many different levels.

The arrays lie as structures of arrays, one contiguous vector per scalar, so that the
compiler vectorises over levels; 2 x 2 inverses are written out. Takes ``A`` as (3, J)
(A11, A21, A22) and ``F`` as (2, w, J); gives the same sums as the general kernel.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.compiling import compiled_fast

CHUNK = 256  # levels at a time: the scratch arrays stay in the first-level cache


@compiled_fast
def pairs_gram(A, F, Lam, G, N):
    """``G -= sum_j F_j'E_j F_j`` (lower triangle), N = I - A E; log determinant."""
    l11, l21, l22 = Lam[0, 0], Lam[1, 0], Lam[1, 1]
    J, w = A.shape[1], F.shape[1]
    E, det = np.empty((3, CHUNK)), np.empty(CHUNK)
    log_det = 0.0
    for start in range(0, J, CHUNK):
        size = min(CHUNK, J - start)
        for i in range(size):
            j = start + i
            a11, a21, a22 = A[0, j], A[1, j], A[2, j]
            p11, p21 = a11 * l11 + a21 * l21, a21 * l11 + a22 * l21
            p22 = a22 * l22
            m11 = 1.0 + l11 * p11 + l21 * p21
            m21, m22 = l22 * p21, 1.0 + l22 * p22
            det[i] = m11 * m22 - m21 * m21
            inverse = 1.0 / det[i]
            i11, i21, i22 = m22 * inverse, -m21 * inverse, m11 * inverse
            t11 = l11 * i11
            t21, t22 = l21 * i11 + l22 * i21, l21 * i21 + l22 * i22
            e11, e21, e22 = t11 * l11, t21 * l11, t21 * l21 + t22 * l22
            E[0, i], E[1, i], E[2, i] = e11, e21, e22
            N[0, j], N[1, j] = 1.0 - (a11 * e11 + a21 * e21), -(a11 * e21 + a21 * e22)
            N[2, j], N[3, j] = -(a21 * e11 + a22 * e21), 1.0 - (a21 * e21 + a22 * e22)
        for i in range(size):
            log_det += math.log(det[i])
        for c in range(w):
            for d in range(c + 1):
                value = 0.0
                for i in range(size):
                    f1, f2 = F[0, c, start + i], F[1, c, start + i]
                    g1, g2 = F[0, d, start + i], F[1, d, start + i]
                    value += f1 * (E[0, i] * g1 + E[1, i] * g2)
                    value += f2 * (E[1, i] * g1 + E[2, i] * g2)
                G[c, d] -= value
    return log_det


@compiled_fast
def pairs_gradient(A, F, N, Lam, beta, C, scale, gradient):
    """Fill ``sum_j N_j (F_j K F_j') N_j' Lambda / scale - N_j A_j Lambda``.

    K is gamma gamma' + C with gamma = (-beta, 1): the residual first, then C.
    """
    J, p = A.shape[1], F.shape[1] - 1
    r1, r2, R = np.empty(CHUNK), np.empty(CHUNK), np.empty((3, CHUNK))
    h11 = h21 = h22 = d11 = d21 = d22 = 0.0
    for start in range(0, J, CHUNK):
        size = min(CHUNK, J - start)
        for i in range(size):
            r1[i], r2[i] = F[0, p, start + i], F[1, p, start + i]
        for c in range(p):
            for i in range(size):
                r1[i] -= beta[c] * F[0, c, start + i]
                r2[i] -= beta[c] * F[1, c, start + i]
        for i in range(size):
            R[0, i], R[1, i], R[2, i] = r1[i] * r1[i], r1[i] * r2[i], r2[i] * r2[i]
        for c in range(p):
            for d in range(c + 1):
                v = C[c, d] * (1.0 if c == d else 2.0)
                for i in range(size):
                    f1, f2 = F[0, c, start + i], F[1, c, start + i]
                    g1, g2 = F[0, d, start + i], F[1, d, start + i]
                    R[0, i] += v * f1 * g1
                    R[1, i] += 0.5 * v * (f1 * g2 + f2 * g1)
                    R[2, i] += v * f2 * g2
        for i in range(size):
            j = start + i
            n11, n12, n21, n22 = N[0, j], N[1, j], N[2, j], N[3, j]
            t11, t12 = n11 * R[0, i] + n12 * R[1, i], n11 * R[1, i] + n12 * R[2, i]
            t21, t22 = n21 * R[0, i] + n22 * R[1, i], n21 * R[1, i] + n22 * R[2, i]
            h11 += t11 * n11 + t12 * n12
            h21 += t21 * n11 + t22 * n12
            h22 += t21 * n21 + t22 * n22
            d11 += n11 * A[0, j] + n12 * A[1, j]
            d21 += n21 * A[0, j] + n22 * A[1, j]
            d22 += n21 * A[1, j] + n22 * A[2, j]
    l11, l21, l22 = Lam[0, 0], Lam[1, 0], Lam[1, 1]
    # N A is symmetric, so H / scale - N A is too
    h11, h21, h22 = h11 / scale - d11, h21 / scale - d21, h22 / scale - d22
    gradient[0, 0], gradient[0, 1] = h11 * l11 + h21 * l21, h21 * l22
    gradient[1, 0], gradient[1, 1] = h21 * l11 + h22 * l21, h22 * l22
