"""Kernel that counts rows by level, where levels are more than the rows of a batch."""

from bayeslmm.marginal.kernels.algebra import compiled


@compiled
def count_levels(codes, sizes):
    """Add one to the size of the level of each row."""
    for r in range(codes.size):
        sizes[codes[r]] += 1
