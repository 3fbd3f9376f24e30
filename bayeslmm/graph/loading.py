"""Libraries that are cheaper to load from a short stack."""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module


def load(*names: str) -> None:
    """Import modules in a thread of its own, if they are not there yet.

    `arviz_base`, which nutpie and the trees of draws load, has `lazy_loader` read the
    source of every frame of the stack to see who asks: below a fit that takes as long
    as a fifth of all that nutpie loads.
    """
    if any(name not in sys.modules for name in names):
        with ThreadPoolExecutor(1) as pool:
            list(pool.map(import_module, names))
