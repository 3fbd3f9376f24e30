"""Sparse symmetric matrices of the rest in panels: factor, solves, selected inverse.

A *panel* is a run of columns with the same structure; its rows are its own columns and
those below. Of the matrix, of its Cholesky factor and of the inverse only the entries
of the panels are kept, row by row, so that all work is on dense rows. ``shape`` is the
tuple (edges, starts, rows, at, panel_of): first column of each panel, where its rows
begin in ``rows``, where its values begin, and the panel of each column. Columns are
*places* in the order of elimination.

References
----------
.. [1] Takahashi, Fagan and Chin (1973). Formation of a sparse bus impedance matrix and
   its application to short circuit study. 8th PICA Conference.
.. [2] Erisman and Tinney (1975). Commun. ACM 18(3).
   https://doi.org/10.1145/360680.360704
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.compiling import compiled, compiled_fast


@compiled_fast
def factor_panels(shape, values):
    """Cholesky factor in place, panel by panel; log determinant, NaN if not PD.

    Each panel waits for those before it that reach its columns: they hang in a list of
    the next panel that they reach.
    """
    edges, starts, rows, at, panel_of = shape
    n_panels = edges.size - 1
    first_waiting, next_waiting = np.full(n_panels, -1), np.full(n_panels, -1)
    reached = starts[:-1].copy()
    place = np.empty(panel_of.size, np.int64)
    log_det = 0.0
    for q in range(n_panels):
        for i in range(starts[q], starts[q + 1]):
            place[rows[i]] = i - starts[q]
        d = first_waiting[q]
        while d >= 0:
            following = next_waiting[d]
            last = reached[d]
            while last < starts[d + 1] and rows[last] < edges[q + 1]:
                last += 1
            _subtract(shape, values, q, d, reached[d], last, place)
            reached[d] = last
            if last < starts[d + 1]:
                p = panel_of[rows[last]]
                next_waiting[d], first_waiting[p] = first_waiting[p], d
            d = following
        width = edges[q + 1] - edges[q]
        part = _factor_panel(values, at[q], width, starts[q + 1] - starts[q])
        if np.isnan(part):
            return np.nan
        log_det += part
        reached[q] = starts[q] + width
        if reached[q] < starts[q + 1]:
            p = panel_of[rows[reached[q]]]
            next_waiting[q], first_waiting[p] = first_waiting[p], q
    return log_det


@compiled_fast
def _subtract(shape, values, q, d, first, last, place):
    """Take panel d out of panel q, whose columns its rows ``first .. last`` are."""
    edges, starts, rows, at, _ = shape
    width, wide = edges[q + 1] - edges[q], edges[d + 1] - edges[d]
    for i in range(first, starts[d + 1]):
        x = at[d] + (i - starts[d]) * wide
        own = values[x : x + wide]
        row = at[q] + place[rows[i]] * width - edges[q]
        s, end = first, min(i + 1, last)
        while s + 4 <= end:
            y = at[d] + (s - starts[d]) * wide
            one, two = values[y : y + wide], values[y + wide : y + 2 * wide]
            three = values[y + 2 * wide : y + 3 * wide]
            four = values[y + 3 * wide : y + 4 * wide]
            first_dot, second_dot, third_dot, fourth_dot = 0.0, 0.0, 0.0, 0.0
            for c in range(wide):
                first_dot += own[c] * one[c]
                second_dot += own[c] * two[c]
                third_dot += own[c] * three[c]
                fourth_dot += own[c] * four[c]
            values[row + rows[s]] -= first_dot
            values[row + rows[s + 1]] -= second_dot
            values[row + rows[s + 2]] -= third_dot
            values[row + rows[s + 3]] -= fourth_dot
            s += 4
        while s < end:
            y = at[d] + (s - starts[d]) * wide
            values[row + rows[s]] -= _dot(own, values[y : y + wide], wide)
            s += 1


@compiled_fast
def _dot(x, y, n):
    """Sum of the products of the first n entries."""
    value = 0.0
    for c in range(n):
        value += x[c] * y[c]
    return value


@compiled_fast
def _factor_panel(values, first, width, length):
    """Factor one panel whose updates are done; its part of the log determinant."""
    log_det = 0.0
    for t in range(length):
        x = first + t * width
        own = values[x : x + width]
        for c in range(min(t + 1, width)):
            y = first + c * width
            other = values[y : y + width]
            value = own[c] - _dot(own, other, c)
            if t > c:
                own[c] = value / other[c]
            elif value > 0.0:
                own[c] = math.sqrt(value)
                log_det += math.log(value)
            else:
                return np.nan
    return log_det


@compiled
def solve_panels(shape, values, rhs):
    """Overwrite rhs, shape (m, c) in the order of elimination, by L^-1 rhs."""
    edges, starts, rows, at, _ = shape
    n_columns = rhs.shape[1]
    for q in range(edges.size - 1):
        width = edges[q + 1] - edges[q]
        for i in range(starts[q], starts[q + 1]):
            line, row = at[q] + (i - starts[q]) * width, rows[i]
            for c in range(min(width, i - starts[q])):
                value, own = values[line + c], edges[q] + c
                for d in range(n_columns):
                    rhs[row, d] -= value * rhs[own, d]
            if i - starts[q] < width:
                value = values[line + i - starts[q]]
                for d in range(n_columns):
                    rhs[row, d] /= value


@compiled
def solve_panels_transposed(shape, values, rhs):
    """Overwrite rhs, shape (m, c) in the order of elimination, by L^-T rhs."""
    edges, starts, rows, at, _ = shape
    n_columns = rhs.shape[1]
    for q in range(edges.size - 2, -1, -1):
        width = edges[q + 1] - edges[q]
        for i in range(starts[q + 1] - 1, starts[q] - 1, -1):
            line, row = at[q] + (i - starts[q]) * width, rows[i]
            if i - starts[q] < width:
                value = values[line + i - starts[q]]
                for d in range(n_columns):
                    rhs[row, d] /= value
            for c in range(min(width, i - starts[q])):
                value, own = values[line + c], edges[q] + c
                for d in range(n_columns):
                    rhs[own, d] -= value * rhs[row, d]


@compiled_fast
def invert_panels(shape, factor, inverse):
    """Fill the entries of (L L')^-1 that lie in the panels, from the last to the first.

    With L_J the diagonal block of a panel, L_B what is below and Y = L_B L_J^-1:
    Z_BJ = -Z_BB Y and Z_JJ = (L_J L_J')^-1 + Y'Z_BB Y; Z_BB is known by then, as the
    structure of a panel is a clique among the later ones.
    """
    edges, starts, _, at, _ = shape
    widest, longest = 0, 0
    for q in range(edges.size - 1):
        widest = max(widest, edges[q + 1] - edges[q])
        longest = max(longest, starts[q + 1] - starts[q])
    Y, ZY = np.empty((longest, widest)), np.empty((longest, widest))
    root = np.empty((widest, widest))
    for q in range(edges.size - 2, -1, -1):
        width = edges[q + 1] - edges[q]
        below = starts[q + 1] - starts[q] - width
        for i in range(below):
            line = at[q] + (width + i) * width
            for c in range(width - 1, -1, -1):
                value = factor[line + c]
                for d in range(c + 1, width):
                    value -= Y[i, d] * factor[at[q] + d * width + c]
                Y[i, c] = value / factor[at[q] + c * width + c]
                ZY[i, c] = 0.0
        _times_known(shape, inverse, q, Y, ZY)
        for i in range(below):
            line = at[q] + (width + i) * width
            for c in range(width):
                inverse[line + c] = -ZY[i, c]
        _invert_triangle(factor, at[q], width, root)
        for c in range(width):
            for d in range(c + 1):
                value = 0.0
                for i in range(c, width):
                    value += root[i, c] * root[i, d]
                for i in range(below):
                    value += Y[i, c] * ZY[i, d]
                inverse[at[q] + c * width + d] = value
                inverse[at[q] + d * width + c] = value


@compiled_fast
def _times_known(shape, inverse, q, Y, ZY):
    """ZY += Z_BB Y for the rows B below panel q."""
    edges, starts, rows, at, panel_of = shape
    width = edges[q + 1] - edges[q]
    first, last = starts[q] + width, starts[q + 1]
    i = first
    while i < last:
        p = panel_of[rows[i]]
        wide, near = edges[p + 1] - edges[p], starts[p]
        j = i
        while j < last and rows[j] < edges[p + 1]:
            j += 1
        for r in range(i, last):  # rows of Z in panel p, by its columns i .. j
            near = _find(rows, near, starts[p + 1], rows[r])
            line = at[p] + (near - starts[p]) * wide
            Z, y, zy = inverse[line : line + wide], Y[r - first], ZY[r - first]
            c, end = i, min(r, j)
            while c + 2 <= end:
                z, u = Z[rows[c] - edges[p]], Z[rows[c + 1] - edges[p]]
                one, two = Y[c - first], Y[c + 1 - first]
                to_one, to_two = ZY[c - first], ZY[c + 1 - first]
                for d in range(width):
                    zy[d] += z * one[d] + u * two[d]
                    to_one[d] += z * y[d]
                    to_two[d] += u * y[d]
                c += 2
            while c < end:
                z = Z[rows[c] - edges[p]]
                one, to_one = Y[c - first], ZY[c - first]
                for d in range(width):
                    zy[d] += z * one[d]
                    to_one[d] += z * y[d]
                c += 1
            if r < j:
                z = Z[rows[r] - edges[p]]
                for d in range(width):
                    zy[d] += z * y[d]
        i = j


@compiled
def _find(rows, near, end, wanted):
    """Position of a row that is there, at `near` or after, in steps that double."""
    step = 1
    while near + step < end and rows[near + step] <= wanted:
        near += step
        step *= 2
    while step > 1:
        step //= 2
        if near + step < end and rows[near + step] <= wanted:
            near += step
    return near


@compiled
def _invert_triangle(factor, first, width, root):
    """Root <- inverse of the diagonal block of a panel of the factor."""
    for c in range(width):
        root[c, c] = 1.0 / factor[first + c * width + c]
        for i in range(c + 1, width):
            value = 0.0
            for d in range(c, i):
                value -= factor[first + i * width + d] * root[d, c]
            root[i, c] = value / factor[first + i * width + i]


@compiled
def scale_panels(shape, kind, lag, factors, sizes, values):
    """Overwrite the matrix M by ``Lambda' M Lambda``, level by level.

    The column at a place is number ``lag`` of its level, in block ``kind``.
    """
    edges, starts, rows, at, _ = shape
    for q in range(edges.size - 1):
        width = edges[q + 1] - edges[q]
        for i in range(starts[q], starts[q + 1]):
            line = at[q] + (i - starts[q]) * width
            for c in range(width):
                b, a = kind[edges[q] + c], lag[edges[q] + c]
                value = 0.0
                for e in range(a, sizes[b]):
                    value += values[line + c + e - a] * factors[b, e, a]
                values[line + c] = value
        for i in range(starts[q], starts[q + 1]):
            line = at[q] + (i - starts[q]) * width
            b, a = kind[rows[i]], lag[rows[i]]
            for c in range(width):
                value = 0.0
                for e in range(a, sizes[b]):
                    value += values[line + (e - a) * width + c] * factors[b, e, a]
                values[line + c] = value


@compiled
def scale_panels_back(shape, kind, lag, factors, values):
    """Overwrite the matrix M by ``Lambda M Lambda'``, level by level."""
    edges, starts, rows, at, _ = shape
    for q in range(edges.size - 1):
        width = edges[q + 1] - edges[q]
        for i in range(starts[q + 1] - 1, starts[q] - 1, -1):
            line = at[q] + (i - starts[q]) * width
            for c in range(width - 1, -1, -1):
                b, a = kind[edges[q] + c], lag[edges[q] + c]
                value = 0.0
                for e in range(a + 1):
                    value += values[line + c + e - a] * factors[b, a, e]
                values[line + c] = value
        for i in range(starts[q + 1] - 1, starts[q] - 1, -1):
            line = at[q] + (i - starts[q]) * width
            b, a = kind[rows[i]], lag[rows[i]]
            for c in range(width):
                value = 0.0
                for e in range(a + 1):
                    value += values[line + (e - a) * width + c] * factors[b, a, e]
                values[line + c] = value


@compiled
def add_identity(shape, values):
    """Add 1 to the diagonal."""
    edges, _, _, at, _ = shape
    for q in range(edges.size - 1):
        width = edges[q + 1] - edges[q]
        for c in range(width):
            values[at[q] + c * width + c] += 1.0


@compiled
def multiply_panels(shape, kind, lag, sizes, values, columns, out):
    """Out += M columns, both (m, c) in the order of elimination.

    The blocks of a level with itself are kept whole, of all others the lower one.
    """
    edges, starts, rows, at, _ = shape
    n_columns = columns.shape[1]
    for q in range(edges.size - 1):
        width = edges[q + 1] - edges[q]
        for i in range(starts[q], starts[q + 1]):
            line, r = at[q] + (i - starts[q]) * width, rows[i]
            level = r - lag[r]
            for c in range(edges[q], min(edges[q + 1], level + sizes[kind[r]])):
                value = values[line + c - edges[q]]
                for d in range(n_columns):
                    out[r, d] += value * columns[c, d]
                    if c < level:
                        out[c, d] += value * columns[r, d]


@compiled
def diagonal_products(shape, kind, lag, sizes, factors, reduced, inverse, D):
    """D (m, k) <- rows of the blocks, level with itself, of ``R Lambda S^-1``.

    An entry of R below the diagonal meets two levels: that of its column with
    Lambda Z from the left, that of its row with Z Lambda' from the right.
    """
    edges, starts, rows, at, _ = shape
    D[:] = 0.0
    for q in range(edges.size - 1):
        width = edges[q + 1] - edges[q]
        for i in range(starts[q], starts[q + 1]):
            line, r = at[q] + (i - starts[q]) * width - edges[q], rows[i]
            of_row, a = kind[r], lag[r]
            level = r - a
            for c in range(edges[q], min(edges[q + 1], level + sizes[of_row])):
                of_column, e = kind[c], lag[c]
                own = c - e
                for b in range(sizes[of_column]):
                    value = 0.0  # (Lambda Z)[r, own + b]
                    for h in range(a + 1):
                        z = inverse[line + (h - a) * width + own + b]
                        value += factors[of_row, a, h] * z
                    D[c, b] += reduced[line + c] * value
                if c >= level:
                    continue
                for b in range(sizes[of_row]):
                    value = 0.0  # (Z Lambda')[level + b, c]
                    for h in range(e + 1):
                        z = inverse[line + (b - a) * width + own + h]
                        value += z * factors[of_column, e, h]
                    D[r, b] += reduced[line + c] * value
