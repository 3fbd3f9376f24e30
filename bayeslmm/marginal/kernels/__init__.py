"""Compiled loops of the marginal likelihood: compiled on first use, then cached."""
