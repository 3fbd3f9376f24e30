"""The matrices of a few rows as a picture: y = X beta + Z u + e, and V = Z D Z' + R."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison import check_kind
from bayeslmm.errors import ModelError
from bayeslmm.plots.names import level_name, plain
from bayeslmm.plots.options import options_checked
from bayeslmm.plots.shown import shown_figure
from bayeslmm.plots.style import PLAIN_COLOR, POSTERIOR_COLOR, REML_COLOR, add_title
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reml.matrices import Chosen, Matrices, design_matrices
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.numbers import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayeslmm.reml.fit import RemlFit

MOST_ROWS = 200  # more would be finer than a screen
MOST_WRITTEN = 8  # rows or columns of matrices whose numbers are written
WIDEST = 11.0  # inches, of the figure
CELL = (0.56, 0.27)  # inches, of a cell with its number
SMALLEST, LARGEST = 0.01, 0.2  # inches, of a cell without
THINNEST = 0.35  # inches, of a matrix of one column
SIGN = 0.42  # inches between two matrices, for the sign there
LETTER = 0.062  # inches, of a letter of a name
TITLE, GAP = 0.55, 0.45  # inches
NAME_SIZE, SYMBOL_SIZE = 7.0, 12.0  # points
SYMBOLS = {"beta": r"$\boldsymbol{\beta}$", "Z D Z'": r"$\mathbf{Z\,D\,Z}'$"}


class Block(NamedTuple):
    """One matrix: its symbol, the sign before it, its entries and their names."""

    sign: str
    symbol: str
    values: Float[np.ndarray, "r c"]
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()


class Scale(NamedTuple):
    """Inches of a cell, and whether its number is written."""

    width: float
    height: float
    written: bool

    def wide(self, block: Block) -> float:
        """Inches of a matrix."""
        return max(block.values.shape[1] * self.width, THINNEST)

    def tall(self, line: Sequence[Block]) -> float:
        """Inches of the tallest matrix of a line."""
        return max(block.values.shape[0] for block in line) * self.height

    def named(self, line: Sequence[Block]) -> tuple[float, float]:
        """Inches of the names of rows left of a line, and of columns above it."""
        if not self.written:
            return 0.2, 0.1
        rows = max((len(name) for name in line[0].rows), default=0)
        names = (len(name) for block in line for name in block.columns)
        return 0.2 + LETTER * rows, 0.1 + LETTER * max(names, default=0)


@options_checked
def plot_matrices(source: "ModelSpec | RemlFit", rows: Chosen = None) -> "Figure":
    """X, Z, D, R and V of a few rows, as textbooks draw them.

    Use it to see what a formula means: which rows share an effect (Z), and which are
    therefore correlated (the blocks of V). Blue is positive, orange negative, white 0;
    each matrix has its own scale, and small ones have their numbers in the cells.

    Parameters
    ----------
    source : Model or RemlFit
        A fit, or a Gaussian model, which is then fitted by REML.
    rows : int or sequence, optional
        How many rows, at most 200, or the labels of some; by default 6, two of each of
        the first levels of the first grouping factor.

    Returns
    -------
    matplotlib Figure
        Outside pyplot; notebooks show it, ``.savefig(path)`` writes it.

    Raises
    ------
    ModelError
        If the family is not Gaussian, a row is unknown or comes twice, or there are
        too many rows.
    DataError
        If the rows are not in memory.

    See Also
    --------
    RemlFit.matrices : The same as tables.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(seed=1).data
    >>> figure = lmm.plot_matrices(lmm.Model("score ~ edu + (1 | classroom)", pupils))
    """
    fit = _fit_of(source, rows)
    found = fit.matrices(rows)
    lines = [_equation(found), _covariances(found)]
    scale = _scale(lines)
    margins = [scale.named(line) for line in lines]
    left = max(rows for rows, _ in margins)
    wide = left + max(_inches(line, scale) for line in lines)
    tops = [TITLE + margins[0][1]]
    tops.append(tops[0] + scale.tall(lines[0]) + GAP + margins[1][1])
    figure, ax = _canvas(wide + 0.2, tops[1] + scale.tall(lines[1]) + GAP)
    for line, top in zip(lines, tops, strict=True):
        _draw_line(ax, line, scale, (left, top))
    rows_shown = f"{counted(len(found.y), 'row')} of {fit.nobs:,}"
    add_title(figure, "The model in matrices", f"{rows_shown}; {fit.method} estimates")
    return shown_figure(figure)


def _fit_of(source: object, rows: Chosen) -> "RemlFit":
    """The fit given, or that of the model given, made once the rows are known."""
    model = source
    if not isinstance(source, ModelSpec):
        check_kind(source, "source", "RemlFit", "model.fit_reml()")
        model = source.model  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(model, ModelSpec)
    if model.family != "gaussian":
        raise ModelError(
            f"D, R and V are those of a Gaussian model; with family {model.family!r} "
            f"y has no one covariance. model.explain(matrices=True) prints X and Z."
        )
    m = len(design_matrices(model, rows).y)
    if m > MOST_ROWS:
        raise ModelError(
            f"A picture of {m:,} rows would be finer than a screen: give at most "
            f"{MOST_ROWS}. reml.matrices({m}) gives the matrices as tables."
        )
    return fit_reml(model) if isinstance(source, ModelSpec) else source  # pyright: ignore[reportReturnType]


def _equation(found: Matrices) -> list[Block]:
    """Y = X beta + Z u + e, and the covariance D of u."""
    X, Z = found.X.to_numpy(), found.Z.to_numpy()
    beta = [str(name) for name in found.X.columns]
    line = [Block("", "y", found.y.to_numpy(), _rows(found), [str(found.y.columns[0])])]
    if beta:
        line.append(Block("=", "X", X, (), beta))
        line.append(Block("", "beta", found.beta.to_numpy()))
    if found.effects:
        line.append(Block("+" if beta else "=", "Z", Z, (), found.names))
        line.append(Block("", "u", found.u.to_numpy()))
    line.append(Block("+" if len(line) > 1 else "=", "e", found.e.to_numpy()))
    if found.effects:
        line.append(Block(";", "D", found.D.to_numpy(), (), found.names))
    return line


def _covariances(found: Matrices) -> list[Block]:
    """V = Z D Z' + R."""
    rows, V, R = _rows(found), found.V.to_numpy(), found.R.to_numpy()
    line = [Block("", "V", V, rows, rows)]
    if found.effects:
        line.append(Block("=", "Z D Z'", V - R, (), rows))
    return [*line, Block("+" if found.effects else "=", "R", R, (), rows)]


def _rows(found: Matrices) -> list[str]:
    """Names of the rows."""
    return [level_name(str(label)) for label in found.y.index]


def _scale(lines: Sequence[Sequence[Block]]) -> Scale:
    """Cells with numbers if the matrices are small, else as large as fit."""
    blocks = [block for line in lines for block in line]
    if max(max(block.values.shape) for block in blocks) <= MOST_WRITTEN:
        return Scale(*CELL, written=True)
    columns = max(sum(block.values.shape[1] for block in line) for line in lines)
    room = WIDEST - SIGN * max(map(len, lines))
    side = min(max(room / columns, SMALLEST), LARGEST)
    return Scale(side, side, written=False)


def _inches(line: Sequence[Block], scale: Scale) -> float:
    """Width of a line of matrices with the signs between them."""
    return sum(scale.wide(block) for block in line) + SIGN * (len(line) - 1)


def _canvas(wide: float, tall: float) -> "tuple[Figure, Axes]":
    """A figure whose axes are measured in inches from the top left."""
    from matplotlib.figure import Figure

    figure = Figure((max(wide, 5.0), tall))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, max(wide, 5.0)), ylim=(tall, 0))
    ax.axis("off")
    return figure, ax


def _draw_line(
    ax: "Axes", line: Sequence[Block], scale: Scale, corner: tuple[float, float]
) -> None:
    """Matrices beside each other, from a top left corner on, with their signs."""
    left, top = corner
    centred: dict[str, Any] = {"ha": "center", "va": "center", "size": SYMBOL_SIZE}
    for i, name in enumerate(line[0].rows if scale.written else ()):
        y = top + scale.height * (i + 0.5)
        ax.text(left - 0.08, y, plain(name), size=NAME_SIZE, ha="right", va="center")
    for i, block in enumerate(line):
        if i:
            middle = (left + SIGN / 2, top + scale.tall(line) / 2)
            ax.text(*middle, block.sign, **centred)
            left += SIGN
        _draw(ax, block, scale, (left, top))
        left += scale.wide(block)


def _draw(ax: "Axes", block: Block, scale: Scale, corner: tuple[float, float]) -> None:
    """One matrix: its colours, numbers, frame, names of columns, and its symbol."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    (left, top), (r, c) = corner, block.values.shape
    x = np.linspace(left, left + scale.wide(block), c + 1)
    y = top + scale.height * np.arange(r + 1)
    colors = LinearSegmentedColormap.from_list(
        "signs", [POSTERIOR_COLOR, "white", REML_COLOR]
    )
    limit = float(np.abs(block.values).max(initial=0.0)) or 1.0
    ax.pcolormesh(
        x,
        y,
        block.values,
        cmap=colors,
        norm=Normalize(-1.6 * limit, 1.6 * limit),  # numbers stay legible on it
        edgecolors="#dddddd" if scale.written else "none",
        linewidth=0.4,
    )
    outline = ([x[0], x[-1], x[-1], x[0], x[0]], [y[0], y[0], y[-1], y[-1], y[0]])
    ax.plot(*outline, color=PLAIN_COLOR, linewidth=0.8)
    symbol = SYMBOLS.get(block.symbol, rf"$\mathbf{{{block.symbol}}}$")
    size = "" if scale.written else f"\n{r} × {c}"
    middle = (x[0] + x[-1]) / 2
    ax.text(middle, y[-1] + 0.06, symbol + size, ha="center", va="top")
    if scale.written:
        _write(ax, block, x, y)


def _write(
    ax: "Axes", block: Block, x: Float[np.ndarray, " c1"], y: Float[np.ndarray, " r1"]
) -> None:
    """Numbers in the cells, zeros faint, and names above the columns."""
    for (i, j), value in np.ndenumerate(block.values):
        text = "0" if value == 0.0 else f"{value:.3g}"
        color = "#bbbbbb" if value == 0.0 else "black"
        place = float(x[j] + x[j + 1]) / 2, float(y[i] + y[i + 1]) / 2
        ax.text(*place, text, size=NAME_SIZE, color=color, ha="center", va="center")
    for j, name in enumerate(block.columns):
        ax.text(
            float(x[j] + x[j + 1]) / 2,
            float(y[0]) - 0.06,
            plain(level_name(name)),
            size=NAME_SIZE,
            rotation=90 if len(name) > 6 else 0,
            ha="center",
            va="bottom",
        )
