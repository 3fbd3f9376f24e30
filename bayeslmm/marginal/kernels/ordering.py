"""An order of elimination that fills little, and what each step fills.

Takes cliques of nodes (all levels of the rest that one level of the lead couples with),
gives an order of the nodes and, for each, the nodes that its elimination joins: the
column structure of the Cholesky factor. Eliminating a node merges the cliques that
contain it into one, so cliques are all that is kept of the graph.

References
----------
.. [1] Amestoy, Davis and Duff (1996). SIAM J. Matrix Anal. Appl. 17(4).
   https://doi.org/10.1137/S0895479894278952
"""

import numpy as np

from bayeslmm.marginal.kernels.compiling import compiled

# What remains is taken for one clique, and ordered at once, where every node has at
# least this share of the others for neighbours: it would fill soon anyway.
NEARLY_ALL = 0.7


@compiled
def exact_degrees(indptr, nodes, member_at, members, weight, most):
    """Weight of the neighbours of each node; negative first entry if beyond `most`.

    ``members[member_at[v] : member_at[v + 1]]`` are the cliques that contain node v.
    """
    n = weight.size
    degree, seen = np.zeros(n, np.int64), np.full(n, -1)
    total = 0.0
    for v in range(n):
        seen[v] = v
        for i in range(member_at[v], member_at[v + 1]):
            e = members[i]
            for j in range(indptr[e], indptr[e + 1]):
                u = nodes[j]
                if seen[u] != v:
                    seen[u] = v
                    degree[v] += weight[u]
        total += weight[v] * degree[v]
        if total > 2.0 * most:
            degree[0] = -1
            break
    return degree


@compiled
def minimum_degree(
    indptr, nodes, member_at, members, weight, degree, most, most_operations
):
    """Order by approximate minimum degree, with the structure of every column.

    Parameters are those of `exact_degrees`, which gives `degree`. Returns the order,
    the column pointers and the rows (nodes) of each column in that order, the step
    from which on columns have all later nodes for rows (and none are listed), and the
    multiplications of the factorisation; it is infinite, and the rest unfinished, where
    the factor would have more entries than `most` or take more than `most_operations`.
    """
    n, n_cliques = weight.size, indptr.size - 1
    graph, space, left = _make_graph(indptr, nodes, member_at, members, weight)
    start, size, heft, of_node, _, count, _ = graph
    top = nodes.size
    buckets = _make_buckets(degree, left)
    order, columns = np.empty(n, np.int64), np.zeros(n + 1, np.int64)
    rows = np.empty(2 * nodes.size + 1, np.int64)
    seen, stamped = np.full(n, -1), np.full(n_cliques, -1)
    outside = np.zeros(n_cliques, np.int64)  # weight of a clique outside the new one
    entries, operations, least = 0.0, 0.0, 0
    for step in range(n):
        while buckets[0][least] < 0:
            least += 1
        v = buckets[0][least]
        need = 0
        for i in range(member_at[v], member_at[v] + count[v]):
            need += size[of_node[i]]
        if top + need > space.size:
            space, top = _compact(space, start, size)
        first = top
        top, wide, merged = _merge(graph, v, space, top, seen, step)
        if wide > 0 and wide >= NEARLY_ALL * (left - weight[v]):
            entries += 0.5 * float(left) ** 2
            operations += float(left) ** 3 / 3.0
            if entries > most or operations > most_operations:
                operations = np.inf
            _take_all(buckets, least, order, step)
            for s in range(step, n):
                columns[s + 1] = columns[step]
            return order, columns, rows, step, operations
        _take_out(v, degree, buckets)
        left -= weight[v]
        order[step] = v
        columns[step + 1] = columns[step] + top - first
        entries += weight[v] * (wide + 0.5 * weight[v])
        operations += float(weight[v]) * float(wide + weight[v]) ** 2
        # as if cliques of this degree followed, each by itself: nearly the least that
        # can, as the degrees are bounds from above
        hopeless = entries + 0.5 * left * wide > most
        if hopeless or operations + left * float(wide) ** 2 / 3.0 > most_operations:
            return order, columns, rows, n, np.inf
        if merged < 0:
            continue
        rows = _room(rows, columns[step], top - first)
        for i in range(first, top):
            rows[columns[step] + i - first] = space[i]
        start[merged], size[merged], heft[merged] = first, top - first, wide
        found = space[first:top]
        _weigh_outside(graph, found, merged, stamped, outside, step)
        for i in range(top - first):
            _take_out(found[i], degree, buckets)
            _lower_degree(graph, found[i], merged, outside, left, degree)
            _put_in(found[i], degree, buckets)
            least = min(least, degree[found[i]])
    return order, columns, rows, n, operations


@compiled
def _make_graph(indptr, nodes, member_at, members, weight):
    """Cliques (start, size, weight), those of each node, weights; space; all weight.

    The members of the cliques are in `space`, which has room for as many again.
    """
    n, n_cliques = weight.size, indptr.size - 1
    start, size = np.empty(n_cliques, np.int64), np.empty(n_cliques, np.int64)
    heft, count = np.zeros(n_cliques, np.int64), np.empty(n, np.int64)
    space, total = np.empty(2 * nodes.size + n + 1, np.int64), 0
    for e in range(n_cliques):
        start[e], size[e] = indptr[e], indptr[e + 1] - indptr[e]
        for i in range(indptr[e], indptr[e + 1]):
            heft[e] += weight[nodes[i]]
            space[i] = nodes[i]
    for v in range(n):
        count[v] = member_at[v + 1] - member_at[v]
        total += weight[v]
    graph = (start, size, heft, members.copy(), member_at, count, weight)
    return graph, space, total


@compiled
def _merge(graph, v, space, top, seen, step):
    """Write the neighbours of a node to `space`; its cliques are no more.

    Returns the new top, the weight of the neighbours, and a clique whose name is free.
    """
    start, size, _, of_node, member_at, count, weight = graph
    wide, merged = 0, -1
    seen[v] = step
    for i in range(member_at[v], member_at[v] + count[v]):
        e = of_node[i]
        for j in range(start[e], start[e] + size[e]):
            u = space[j]
            if seen[u] != step:
                seen[u] = step
                space[top] = u
                top += 1
                wide += weight[u]
        if size[e] > 0:
            merged = e
        size[e] = 0
    return top, wide, merged if wide > 0 else -1


@compiled
def _weigh_outside(graph, found, merged, stamped, outside, step):
    """Weight of the part outside the new clique, for each clique that it meets."""
    _, size, heft, of_node, member_at, count, weight = graph
    for i in range(found.size):
        u = found[i]
        for j in range(member_at[u], member_at[u] + count[u]):
            e = of_node[j]
            if size[e] > 0 and e != merged:
                if stamped[e] != step:
                    stamped[e], outside[e] = step, heft[e]
                outside[e] -= weight[u]


@compiled
def _lower_degree(graph, u, merged, outside, left, degree):
    """New cliques of a node of the new one, and a bound of its degree."""
    _, size, heft, of_node, member_at, count, weight = graph
    within = heft[merged] - weight[u]
    near, kept = within, member_at[u]
    for j in range(member_at[u], member_at[u] + count[u]):
        e = of_node[j]
        if size[e] == 0 or e == merged:
            continue
        if outside[e] == 0:  # within the new clique
            size[e] = 0
            continue
        near += outside[e]
        of_node[kept] = e
        kept += 1
    of_node[kept] = merged
    count[u] = kept + 1 - member_at[u]
    degree[u] = min(near, degree[u] + within, left - weight[u])


@compiled
def _make_buckets(degree, total):
    """Lists of the nodes of each degree, the first nodes in front."""
    n = degree.size
    buckets = np.full(total + 1, -1), np.full(n, -1), np.full(n, -1)
    for v in range(n - 1, -1, -1):
        _put_in(v, degree, buckets)
    return buckets


@compiled
def _room(array, filled, more):
    """The array, or a longer copy, with room for more entries after those filled."""
    if filled + more <= array.size:
        return array
    longer = np.empty(2 * (filled + more), np.int64)
    for i in range(filled):
        longer[i] = array[i]
    return longer


@compiled
def _take_all(buckets, least, order, step):
    """Put all nodes that are left into the order, by their degree."""
    head, after, _ = buckets
    while step < order.size:
        v = head[least]
        while v >= 0:
            order[step] = v
            step += 1
            v = after[v]
        least += 1


@compiled
def _put_in(v, degree, buckets):
    """Put a node in front of the list of its degree."""
    head, after, before = buckets
    follower = head[degree[v]]
    after[v], before[v] = follower, -1
    if follower >= 0:
        before[follower] = v
    head[degree[v]] = v


@compiled
def _take_out(v, degree, buckets):
    """Take a node out of the list of its degree."""
    head, after, before = buckets
    if before[v] >= 0:
        after[before[v]] = after[v]
    else:
        head[degree[v]] = after[v]
    if after[v] >= 0:
        before[after[v]] = before[v]


@compiled
def _compact(space, start, size):
    """Cliques that still exist, side by side: they never take more than at first."""
    moved, top = np.empty_like(space), 0
    for e in range(size.size):
        first = top
        for i in range(start[e], start[e] + size[e]):
            moved[top] = space[i]
            top += 1
        start[e] = first
    return moved, top


@compiled
def postorder(columns, rows, order, clique):
    """Positions of the nodes such that every subtree of the elimination is one run.

    The parent of a column is its first row below the diagonal; from step `clique` on
    that is the next one.
    """
    n = order.size
    step_of = np.empty(n, np.int64)
    for s in range(n):
        step_of[order[s]] = s
    parent = np.full(n, n)
    for s in range(clique, n):
        parent[s] = s + 1
    for s in range(clique):
        for i in range(columns[s], columns[s + 1]):
            parent[s] = min(parent[s], step_of[rows[i]])
    child, sibling = np.full(n + 1, -1), np.full(n, -1)
    for s in range(n - 1, -1, -1):
        sibling[s] = child[parent[s]]
        child[parent[s]] = s
    position, stack = np.empty(n, np.int64), np.empty(n + 1, np.int64)
    stack[0], depth, done = n, 0, 0
    while depth >= 0:
        s = stack[depth]
        if child[s] >= 0:  # go down to a child, and forget it
            depth += 1
            stack[depth] = child[s]
            child[s] = sibling[child[s]]
            continue
        if s < n:
            position[order[s]] = done
            done += 1
        depth -= 1
    return position


@compiled
def find_panels(columns, rows, order, clique, position, weight, widest):
    """Columns of equal structure put together into panels of some width.

    Returns the edges of the panels in nodes by position, and for each panel its rows
    (positions of nodes below it), in any order.
    """
    n = order.size
    at = np.empty(n, np.int64)  # the step of each position
    for s in range(n):
        at[position[order[s]]] = s
    counts = np.empty(n, np.int64)
    for s in range(n):
        counts[s] = n - s - 1 if s >= clique else columns[s + 1] - columns[s]
    edges, starts = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    below = np.empty(n, np.int64)
    n_panels, wide, filled = 0, 0, 0
    for j in range(n):
        s = at[j]
        count, own = counts[s], weight[order[s]]
        joins = j > 0 and counts[at[j - 1]] == count + 1 and wide + own <= widest
        if joins and at[j - 1] < clique:
            nearest = n
            for i in range(columns[at[j - 1]], columns[at[j - 1] + 1]):
                nearest = min(nearest, position[rows[i]])
            joins = nearest == j
        if joins:
            wide += own
            filled = starts[n_panels - 1]
        else:
            edges[n_panels], starts[n_panels] = j, filled
            n_panels += 1
            wide = own
        below = _room(below, filled, count)
        for i in range(count):
            u = order[s + 1 + i] if s >= clique else rows[columns[s] + i]
            below[filled + i] = position[u]
        filled += count
    edges[n_panels], starts[n_panels] = n, filled
    return edges[: n_panels + 1], starts[: n_panels + 1], below[:filled]
