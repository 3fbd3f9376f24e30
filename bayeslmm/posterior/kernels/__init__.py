"""Compiled targets: from unconstrained coordinates to log posterior density.

Takes arrays that `fit.plan` lays out; numba compiles each kernel's target into one call
that holds no GIL, for Python and, through a C callback, for nutpie.
"""
