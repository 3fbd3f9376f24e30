"""What became of the rows that were given: used, dropped, lost.

Data only: whoever reads rows fills it in, and tables, warnings and reports say it.
"""

from dataclasses import dataclass, field

from bayeslmm.data.origin import Origin


@dataclass(frozen=True, slots=True)
class MixedColumn:
    """A text column with ``n_numbers`` values that are numbers, and ``others``.

    ``n_levels`` of them are in the rows used, and so levels. ``n_cells`` cells have a
    value, ``n_others`` one of the others, and ``row`` is the first that has, from 1;
    these are unknown (0 and None) where rows were read in batches.
    """

    n_numbers: int
    others: tuple[str, ...]
    n_levels: int
    n_cells: int = field(default=0, compare=False)
    n_others: int = field(default=0, compare=False)
    row: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CoarseColumn:
    """A column whose values differ by few ``step``s, the distance of doubles there."""

    mean: float
    sd: float
    step: float

    def words(self, name: str) -> str:
        """What was seen, without an end."""
        return (
            f"{name!r} has mean {self.mean:.6g} and SD {self.sd:.3g}, where numbers "
            f"are kept to {self.step:.2g}"
        )


@dataclass(frozen=True, slots=True)
class RowAccount:
    """Which rows were used, and what was lost with the others.

    ``missing`` counts missing values per column; ``groups_lost`` the levels of each
    grouping column, and of each other factor, that missing values removed;
    ``unused_levels`` the declared categories that no row had in the first place;
    ``mixed`` the predictors that are text, and so factors, though most values are
    numbers; ``coarse`` the columns that have lost digits to being far from zero;
    ``traps`` sentences on other columns that may be meant otherwise; ``aliased`` the
    fixed-effect columns that were dropped because others determine them, with the
    ``dependence`` and the ``advice`` in words. ``origin`` is the file, None for a frame
    that came from none.
    """

    n_rows: int
    n_used: int
    missing: dict[str, int] = field(default_factory=dict)
    groups_lost: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unused_levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mixed: dict[str, MixedColumn] = field(default_factory=dict)
    coarse: dict[str, CoarseColumn] = field(default_factory=dict)
    traps: tuple[str, ...] = ()
    aliased: tuple[str, ...] = ()
    dependence: str = ""
    advice: str = ""
    # Of the file, not of the rows: the same rows are equal wherever they were read.
    origin: Origin | None = field(default=None, compare=False)

    @property
    def n_dropped(self) -> int:
        """Number of rows that were given and not used."""
        return self.n_rows - self.n_used
