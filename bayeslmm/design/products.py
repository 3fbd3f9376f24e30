"""Products in a model matrix, and what centring the variables in them does.

Takes the coded terms of the matrices of a model; gives their `Products`: which numeric
variables are multiplied, and the combinations of columns that have them centred.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance import STRUCTURES
from bayeslmm.design.centring import Centring, Entry, Products
from bayeslmm.design.evaluate import AnyNumeric, Column, Described, NumericColumn
from bayeslmm.design.factor_coding import Contrast, contrast_of
from bayeslmm.design.frame import AnyFactor
from bayeslmm.design.matrices import CodedTerm
from bayeslmm.design.stateful import is_raw_poly
from bayeslmm.formula import Atom, Formula
from bayeslmm.formula.nodes import Binary, Call, Node, Number

Variable = tuple[Node, int]
"""A numeric variable: the expression, and which of its columns."""
Powers = frozenset[tuple[Variable, int]]
Cells = frozenset[tuple[str, str]]
Combination = dict[int, float]
"""Columns with their coefficients."""

# Products of more variables are centred in all of them or in none.
MOST_VARIABLES = 4


def model_products(
    formula: Formula,
    codings: Sequence[tuple[CodedTerm, ...]],
    columns: Mapping[str, Described],
) -> Products:
    """Products in the matrices of a model.

    Parameters
    ----------
    formula : Formula
        The formula.
    codings : sequence of tuple of CodedTerm
        Coding of the fixed part, then of each bar term.
    columns : mapping
        Every atom by its label; only names and levels are read.

    Returns
    -------
    Products
        Names and combinations. Columns of a bar term are combined only where its
        covariance is unstructured: another would not stay in its class.
    """
    bars = formula.random
    intercepts = [formula.fixed.intercept, *(b.predictor.intercept for b in bars)]
    closed = [True, *(STRUCTURES[bar.structure].unstructured for bar in bars)]
    atoms = {a.label: a for coding in codings for c in coding for a in c.term.atoms}
    plain = dict(plain_variables(atoms.values(), columns))
    levels = known_levels(atoms.values(), columns)
    matrices = [
        Matrix(list(matrix_columns(intercept, coding, columns, plain)), levels)
        for intercept, coding in zip(intercepts, codings, strict=True)
    ]
    numbers: dict[Variable, int] = {}
    found = [
        Centring(tuple(matrix.entries(numbers)) if may else ())
        for matrix, may in zip(matrices, closed, strict=True)
    ]
    sources = tuple(plain[variable] for variable in numbers)
    names = []
    for label, i in sources:
        column = columns[label]
        assert isinstance(column, AnyNumeric), "factors are not multiplied"
        names.append(column.names[i])
    level = () if formula.fixed.intercept else matrices[0].level()
    return Products(tuple(names), found[0], tuple(found[1:]), level, sources)


def multiplied_values(
    products: Products, columns: Mapping[str, Column], n: int
) -> Float[np.ndarray, "n a"]:
    """Values of the multiplied variables in some rows, a column for each."""
    found = np.empty((n, len(products.sources)))
    for i, (label, column) in enumerate(products.sources):
        atom = columns[label]
        assert isinstance(atom, NumericColumn), "factors are not multiplied"
        found[:, i] = atom.values[:, column]
    return found


def known_levels(
    atoms: Iterable[Atom], columns: Mapping[str, Described]
) -> "dict[str, Levels]":
    """Levels of the factors among some atoms, with their contrasts."""
    found = {}
    for atom in atoms:
        column = columns[atom.label]
        if isinstance(column, AnyFactor):
            own = column.levels
            found[atom.label] = Levels(own, contrast_of(atom, own))
    return found


# --- columns as products --------------------------------------------------------------


def matrix_columns(
    intercept: bool,
    coding: tuple[CodedTerm, ...],
    columns: Mapping[str, Described],
    plain: Mapping[Variable, tuple[str, int]],
) -> Iterator[tuple[Powers, Cells]]:
    """Powers of variables and cells of factors of every column of a matrix."""
    if intercept:
        yield frozenset(), frozenset()
    for coded in coding:
        parts = []
        contrasts = coded.contrasts(columns)
        given = zip(coded.term.atoms, coded.full, contrasts, strict=True)
        for atom, full, contrast in given:
            column = columns[atom.label]
            if isinstance(column, AnyFactor):
                used = column.levels[0 if full else 1 :]
                used = used if contrast is None else contrast.cells
                parts.append([({}, {(atom.label, level)}) for level in used])
            else:
                powers = [_powers(atom, i, plain) for i in range(len(column.names))]
                parts.append([(own, set()) for own in powers])
        for product in itertools.product(*reversed(parts)):
            total: dict[Variable, int] = {}
            for own, _ in product:
                for variable, exponent in own.items():
                    total[variable] = total.get(variable, 0) + exponent
            yield frozenset(total.items()), frozenset().union(*(c for _, c in product))


def _powers(
    atom: Atom, i: int, plain: Mapping[Variable, tuple[str, int]]
) -> dict[Variable, int]:
    """A column of an atom as powers of variables that have a column of their own."""
    powers = _monomial(atom.node, i)
    return powers if all(v in plain for v in powers) else {(atom.node, i): 1}


def _monomial(node: Node, i: int = 0) -> dict[Variable, int]:
    """``x``, ``I(x^2)``, ``I(x * z)``, a column of ``poly(x, 3, raw = TRUE)``."""
    if isinstance(node, Call) and node.function == "I":
        return _product(node.args[0])
    if isinstance(node, Call) and node.function == "poly" and is_raw_poly(node):
        return {variable: e * (i + 1) for variable, e in _product(node.args[0]).items()}
    return {(node, i): 1}


def _product(node: Node) -> dict[Variable, int]:
    """An expression as powers of what is multiplied in it."""
    if isinstance(node, Binary) and node.operator == "*":
        found = dict(_product(node.left))
        for variable, exponent in _product(node.right).items():
            found[variable] = found.get(variable, 0) + exponent
        return found
    if isinstance(node, Binary) and node.operator == "^":
        power = node.right
        if isinstance(power, Number) and power.value in range(1, 10):
            return {v: e * int(power.value) for v, e in _product(node.left).items()}
    return {(node, 0): 1}


def plain_variables(
    atoms: Iterable[Atom], columns: Mapping[str, Described]
) -> Iterator[tuple[Variable, tuple[str, int]]]:
    """Variables that are the column of an atom, and which."""
    for atom in atoms:
        column = columns[atom.label]
        if isinstance(column, AnyFactor):
            continue
        for i in range(len(column.names)):
            powers = _monomial(atom.node, i)
            if sum(powers.values()) == 1:
                yield next(iter(powers)), (atom.label, i)
            else:
                yield (atom.node, i), (atom.label, i)


# --- combinations ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of a factor, and its contrast where that is not of the first level."""

    names: tuple[str, ...]
    contrast: Contrast | None = None

    def split(self, cell: str) -> tuple[float, dict[str, float]] | None:
        """A level or contrast in terms of the whole and of others, None if it stands.

        With treatment coding the first level is the whole less the others.
        """
        if self.contrast is None:
            others = dict.fromkeys(self.names[1:], -1.0)
            return (1.0, others) if cell == self.names[0] and others else None
        cells = self.contrast.cells
        if cell in self.names:
            row = self.contrast.indicators()[self.names.index(cell)]
            whole, weights = float(row[0]), dict(zip(cells, row[1:], strict=True))
        else:
            column = self.contrast.values[:, cells.index(cell)]
            whole, weights = 0.0, dict(zip(self.names, column, strict=True))
        found = {name: float(w) for name, w in weights.items() if w}
        return None if found == {cell: 1.0} else (whole, found)


@dataclass(slots=True)
class Matrix:
    """The columns of a matrix as products, and the levels of the factors in them."""

    columns: list[tuple[Powers, Cells]]
    levels: Mapping[str, Levels]
    at: dict[tuple[Powers, Cells], int] = field(init=False)
    spans: set[tuple[Powers, frozenset[str]]] = field(init=False)

    def __post_init__(self) -> None:
        """Index the columns, and which factors occur with which powers."""
        self.at = {column: j for j, column in enumerate(self.columns)}
        self.spans = {
            (powers, frozenset(subset))
            for powers, cells in set(self.columns)
            for factors in [sorted({label for label, _ in cells})]
            for size in range(len(factors) + 1)
            for subset in itertools.combinations(factors, size)
        }

    def entries(self, numbers: dict[Variable, int]) -> Iterator[Entry]:
        """Addends of every column; new variables are numbered in `numbers`."""
        constant = self.at.get((frozenset(), frozenset()))
        for j, (powers, cells) in enumerate(self.columns):
            degree = sum(exponent for _, exponent in powers)
            if degree < 2 and not cells and constant is not None:
                continue
            for row, coefficient, means in self._centred(powers, cells):
                if row != constant:
                    known = [(numbers.setdefault(v, len(numbers)), e) for v, e in means]
                    yield Entry(row, j, coefficient, tuple(known))

    def level(self) -> tuple[int, ...]:
        """Columns that add up to 1, none if no such sum does."""
        found = self.combination(frozenset(), frozenset(), frozenset()) or {}
        return tuple(found) if set(found.values()) == {1.0} else ()

    def _centred(
        self, powers: Powers, cells: Cells
    ) -> list[tuple[int, float, list[tuple[Variable, int]]]]:
        """Addends of a column with as many variables centred as can be."""
        variables = [v for v, _ in powers]
        sizes = range(len(variables), 0, -1)
        if len(variables) > MOST_VARIABLES:
            sizes = range(len(variables), len(variables) - 1, -1)
        for size in sizes:
            for chosen in itertools.combinations(variables, size):
                found = self._expand(powers, cells, set(chosen))
                if found is not None:
                    return found
        return []

    def _expand(
        self, powers: Powers, cells: Cells, chosen: set[Variable]
    ) -> list[tuple[int, float, list[tuple[Variable, int]]]] | None:
        """The binomial expansion; None if the matrix lacks a lower order."""
        kept = {v: e for v, e in powers if v not in chosen}
        own = [(v, e) for v, e in powers if v in chosen]
        found = []
        for lower in itertools.product(*(range(e + 1) for _, e in own)):
            means = [(v, e - k) for (v, e), k in zip(own, lower, strict=True) if e > k]
            if not means:
                continue  # the column itself
            rest = kept | {v: k for (v, _), k in zip(own, lower, strict=True) if k}
            columns = self.combination(frozenset(rest.items()), cells, frozenset())
            if columns is None:
                return None
            ways = math.prod(
                math.comb(e, k) for (_, e), k in zip(own, lower, strict=True)
            )
            found += [(row, ways * c, means) for row, c in columns.items()]
        return found

    def combination(
        self, powers: Powers, cells: Cells, summed: frozenset[str]
    ) -> Combination | None:
        """Columns that add up to a product of powers and indicators, None if none do.

        A level that the coding leaves out is a sum of the whole and what it has; a
        factor that only occurs in interactions is summed over its levels.
        """
        if (powers, cells) in self.at:
            return {self.at[powers, cells]: 1.0}
        used = frozenset(label for label, _ in cells)
        if (powers, used) not in self.spans:
            return None
        for label, cell in cells:
            split = None if label in summed else self.levels[label].split(cell)
            if split is None:
                continue
            (whole, others), rest = split, cells - {(label, cell)}
            inner = summed | {label}
            parts = [
                (weight, self.combination(powers, rest | {(label, other)}, inner))
                for other, weight in others.items()
            ]
            if whole and all(part is not None for _, part in parts):
                parts.append((whole, self.combination(powers, rest, inner)))
            if all(part is not None for _, part in parts):
                return _sum(parts)
        for label in self.levels.keys() - used - summed:
            if (powers, used | {label}) in self.spans:
                parts = [
                    self.combination(powers, cells | {(label, o)}, summed | {label})
                    for o in self.levels[label].names
                ]
                if all(part is not None for part in parts):
                    return _sum([(1.0, part) for part in parts if part])
        return None


def _sum(parts: Sequence[tuple[float, Combination | None]]) -> Combination | None:
    """A weighted sum of combinations, None if one of them is none."""
    found: Combination = {}
    for weight, part in parts:
        if part is None:
            return None
        for column, coefficient in part.items():
            found[column] = found.get(column, 0.0) + weight * coefficient
    return {column: value for column, value in found.items() if value}
