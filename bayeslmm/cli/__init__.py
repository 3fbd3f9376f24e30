"""The command line: a data file and a formula to tables, figures and files.

Takes what a shell gives; every way in which input can be bad ends in one message on
stderr and a non-zero exit. Heavy libraries are imported by the rooms that use them.
"""

from bayeslmm.cli.app import app

__all__ = ["app"]
