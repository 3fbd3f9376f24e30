"""Python's collector of reference cycles, which waits until libraries are loaded.

What an import leaves is no garbage, but the collector walks through all of it again and
again, and at the end of the process once more: a third of the time of a small fit by
REML. The way in from a shell turns it off; here it is turned on again, before work that
leaves cycles behind, with what is loaded left out.
"""

import gc


def collect_again() -> None:
    """From now on collect what is new; nothing changes where it was never off."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
