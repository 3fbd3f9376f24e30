"""How the sampler shows its progress: nutpie's bar on a terminal, ours in a notebook.

nutpie's table in a notebook is two outputs of kilobytes, which stay when it is done.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bayeslmm.design.progress import in_notebook, progress_bar

RATE = 250  # milliseconds between two messages of nutpie


@contextmanager
def sampler_progress(
    shown: bool, *, chains: int, draws: int
) -> Iterator[dict[str, Any]]:
    """Options for `nutpie.sample`.

    Parameters
    ----------
    shown : bool
        Whether a bar is wanted.
    chains, draws : int
        Chains, and draws of each with those of tuning.
    """
    if not shown or not in_notebook():
        yield {"progress_bar": shown}
        return
    title = f"Sampling, {chains} chain{'s' if chains > 1 else ''}"
    with progress_bar(title, chains * draws, unit="draws") as advance:

        def told(states: Sequence[Any]) -> None:
            """What nutpie says of each chain."""
            advance(sum(one.finished_draws for one in states))

        yield {
            "progress_bar": False,
            "progress_callback": told,
            "progress_rate": RATE,
        }
