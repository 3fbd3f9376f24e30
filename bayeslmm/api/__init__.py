"""The facade: `Model` with its verbs, `Fit` and `fit`.

Imports every room, and is imported by the command line and the public names alone.
"""

from bayeslmm.api import printing as printing
