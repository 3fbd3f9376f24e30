"""Couplings of lead and rest where the matrices of the rest are kept in panels.

The steps of `blocked` that read or write the rest's matrix, entry by entry of the
couplings. The couplings of a level of the lead run in the order of elimination, all
effects of one level of the rest side by side; ``pairs`` holds, for each two of these
levels, where their block begins in the panels, and ``stride`` the length of its rows.
"""

import numpy as np

from bayeslmm.marginal.kernels.blocked import (
    most_couplings,
    project_couplings,
    spread,
    take_product,
)
from bayeslmm.marginal.kernels.compiling import compiled


@compiled
def find_entry(shape, row, column):
    """Where the entry of two places, row >= column, lies in the panels."""
    edges, starts, rows, at, panel_of = shape
    q = panel_of[column]
    first, last = starts[q], starts[q + 1] - 1
    while first < last:
        middle = (first + last) // 2
        if rows[middle] < row:
            first = middle + 1
        else:
            last = middle
    width = edges[q + 1] - edges[q]
    return at[q] + (first - starts[q]) * width + column - edges[q]


@compiled
def sort_couplings(indptr, columns, B, rank):
    """Sort the couplings of every level of the lead by their place, in place."""
    k = B.shape[1]
    for j in range(indptr.size - 1):
        for e in range(indptr[j] + 1, indptr[j + 1]):
            f = e
            while f > indptr[j] and rank[columns[f - 1]] > rank[columns[f]]:
                columns[f - 1], columns[f] = columns[f], columns[f - 1]
                for a in range(k):
                    B[f - 1, a], B[f, a] = B[f, a], B[f - 1, a]
                f -= 1


@compiled
def find_pairs(indptr, columns, rank, width, shape, pairs):
    """Fill `pairs`: level by level, of two levels of the rest the later one first."""
    found = 0
    for j in range(indptr.size - 1):
        e = indptr[j]
        while e < indptr[j + 1]:
            f = indptr[j]
            while f <= e:
                pairs[found] = find_entry(shape, rank[columns[e]], rank[columns[f]])
                found += 1
                f += width[columns[f]]
            e += width[columns[e]]


@compiled
def place_blocks(first, other, cells, rank, shape, stride, values):
    """Write products of levels of the rest, shape (c, a, b), into the panels.

    `first` and `other` are the first coordinates of the levels of each cell.
    """
    for i in range(first.size):
        row, column = first[i], other[i]
        turned = rank[row] < rank[column]
        if turned:
            row, column = column, row
        start, step = find_entry(shape, rank[row], rank[column]), stride[column]
        for a in range(cells.shape[1]):
            for b in range(cells.shape[2]):
                place = b * step + a if turned else a * step + b
                values[start + place] = cells[i, a, b]


@compiled
def reduce_panels(
    indptr, columns, B, Lam, root, U, V, pairs, width, stride, values, Fr
):
    """Take the lead out of the rest: R -= V'V in the panels, Fr -= V'U."""
    k, w = B.shape[1], U.shape[2]
    pair = 0
    for j in range(indptr.size - 1):
        e = indptr[j]
        while e < indptr[j + 1]:
            wide = width[columns[e]]
            for i in range(e, e + wide):
                for a in range(k):
                    value = 0.0
                    for c in range(a, k):
                        value += Lam[c, a] * B[i, c]
                    for c in range(a):
                        value -= root[j, a, c] * V[i, c]
                    V[i, a] = value / root[j, a, a]
                for d in range(w):
                    value = 0.0
                    for a in range(k):
                        value += V[i, a] * U[j, a, d]
                    Fr[columns[i], d] -= value
            f = indptr[j]
            while f <= e:
                start, step = pairs[pair], stride[columns[f]]
                pair += 1
                for a in range(wide):
                    for b in range(width[columns[f]]):
                        value = 0.0
                        for c in range(k):
                            value += V[e + a, c] * V[f + b, c]
                        values[start + a * step + b] -= value
                f += width[columns[f]]
            e += wide


@compiled
def couple_panels(
    A, Lam, root, indptr, columns, B, V, pairs, width, stride, T, t, Q, D
):
    """Add the rest's part: Q_j -= N_j t, D_j -= N_j T N_j' Lambda; T in panels."""
    k = B.shape[1]
    N, row = np.empty((most_couplings(indptr), k)), np.empty(k)
    NTN, AT = np.empty((k, k)), np.empty((k, k))
    pair = 0
    for j in range(indptr.size - 1):
        first, size = indptr[j], indptr[j + 1] - indptr[j]
        spread(A[j], Lam, root[j], AT)
        project_couplings(first, size, columns, B, V, AT, t, N, Q[j])
        NTN[:] = 0.0
        e = 0
        while e < size:
            wide, before = width[columns[first + e]], pair
            for a in range(wide):
                row[:] = 0.0  # sum over levels before of T N, plus half of its own
                f, pair = 0, before
                while f <= e:
                    start = pairs[pair] + a * stride[columns[first + f]]
                    pair += 1
                    share = 0.5 if f == e else 1.0
                    for b in range(width[columns[first + f]]):
                        value = share * T[start + b]
                        for c in range(k):
                            row[c] += value * N[f + b, c]
                    f += width[columns[first + f]]
                for c in range(k):
                    for d in range(k):
                        NTN[c, d] += N[e + a, c] * row[d] + row[c] * N[e + a, d]
            e += wide
        take_product(NTN, Lam, D[j])
