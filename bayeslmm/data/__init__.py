"""Whatever a user gives -> rows: files as people have them.

Takes a path and how it is to be read; gives a pandas frame with its origin.
"""

from bayeslmm.data.origin import Origin, file_hash, origin_of
from bayeslmm.data.read import read

__all__ = ["Origin", "file_hash", "origin_of", "read"]
