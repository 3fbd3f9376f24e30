"""What the sums of a streamed model take: blocks, memory, threads.

Takes a `Scan`; gives a `Plan`, or says that the machine is too small before anything is
allocated.
"""

from dataclasses import dataclass

from bayeslmm.design.arrays import Design
from bayeslmm.design.memory import available_bytes, check_fits
from bayeslmm.design.scan import Scan
from bayeslmm.marginal.dense import dense_bytes
from bayeslmm.marginal.layout import Block, Layout, make_layout
from bayeslmm.marginal.sparse import SPARSE_BYTES
from bayeslmm.marginal.sums import block_pairs

# Copies of A, F and cells: the sums, their layout for the kernel, one factorisation.
COPIES = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model read in batches takes, known before the second pass.

    Attributes
    ----------
    source : str
        Name of the source.
    n_rows : int
        Rows.
    levels : dict
        Levels of each grouping factor.
    blocks : tuple of str
        Blocks of the cross-products, the one that is eliminated first.
    bytes : float
        Memory of the statistics and of the sums of all threads. With several grouping
        factors at least this: which of their levels occur together, and so how sparse
        the covariance of the smaller ones is, is known when all rows are read.
    threads : int
        Threads that read.
    seconds : float
        Time that the reading took, both passes.
    """

    source: str
    n_rows: int
    levels: dict[str, int]
    blocks: tuple[str, ...]
    bytes: float
    threads: int
    seconds: float = float("nan")

    def __str__(self) -> str:
        """The plan in a few words."""
        levels = ", ".join(f"{name}: {j:,}" for name, j in self.levels.items())
        text = (
            f"{self.source}: {self.n_rows:,} rows in batches, {self.threads} threads; "
            f"levels {levels}; {' + '.join(self.blocks)}; {self.bytes / 1e6:,.0f} MB"
        )
        done = f"; read in {self.seconds:.1f} s" if self.seconds == self.seconds else ""
        return text + done


def make_plan(scan: Scan, threads: int) -> Plan:
    """Blocks and memory; fewer threads if their sums would not fit beside each other.

    Raises
    ------
    DataError
        If the statistics themselves are beyond memory.
    """
    skeleton = scan.design
    layout = make_layout(skeleton)
    w = skeleton.p + 1
    own = 8.0 * sum(b.n_levels * b.k * (b.k + w) for b in layout.blocks)
    joint = _joint_bytes(layout)
    levels = {term.group: term.n_levels for term in skeleton.groups}
    said = ", ".join(f"{name!r} {count:,}" for name, count in levels.items())
    check_fits(
        own * (COPIES + 1.0) + joint,
        f"The cross-products of the levels ({said}; {w} columns)",
        "Group by a coarser column, let fewer effects vary, or use a larger machine.",
    )
    room = available_bytes() - own * COPIES - joint
    threads = max(1, min(threads, int(room / max(2.0 * own, 1.0))))
    return Plan(
        scan.source,
        scan.n_rows,
        levels,
        tuple(_block_words(skeleton, block) for block in layout.blocks),
        own * (COPIES + threads) + joint,
        threads,
    )


def _joint_bytes(layout: Layout) -> float:
    """Memory of the products of different grouping factors, at least.

    A level of the larger of two factors meets one of the other, if they are nested; of
    the Schur complement the levels themselves are then all that is not zero.
    """
    cells = sum(a.n_levels * (1 + a.k * b.k) for a, b in block_pairs(layout))
    nested = SPARSE_BYTES * sum(b.n_levels * b.k**2 for b in layout.rest)
    return 8.0 * COPIES * cells + min(nested, dense_bytes(layout.m))


def _block_words(design: Design, block: Block) -> str:
    """A block as ``g (1,000 x 2)``."""
    return f"{design.groups[block.terms[0]].group} ({block.n_levels:,} x {block.k})"
