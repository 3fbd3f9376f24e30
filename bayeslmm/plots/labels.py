"""Names beside points, none on another: where they fit, or not at all.

adjustText pushes labels apart by forces and may leave some on others; it also imports
pyplot. Here each label, the most important first, takes the nearest free place, and one
for which there is none is left out and counted.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

DISTANCES = (7.0, 11.0, 16.0, 24.0, 34.0, 46.0, 60.0)  # points, from the mark
N_DIRECTIONS = 16
GAP = 1.5  # points between labels
MARK = 4.0  # points around a mark that a label should leave free
LEADER = 14.0  # points from which on a line leads from a label to its mark
FONT_SIZE = 8.0


def place_labels(
    ax: "Axes",
    points: Float[np.ndarray, "m 2"],
    names: list[str],
    marks: Float[np.ndarray, "k 2"],
) -> int:
    """Write names beside points, the first with the first choice of place.

    Parameters
    ----------
    ax : Axes
        Whose limits and layout are final.
    points : ndarray, shape (m, 2)
        What is named, in units of the axes.
    names : list of str
        Their names.
    marks : ndarray, shape (k, 2)
        What should not be covered, in units of the axes.

    Returns
    -------
    int
        How many names found no place.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # settles the layout
    to_points = 72.0 / figure.dpi
    at = ax.transData.transform(points) * to_points
    avoided = ax.transData.transform(marks) * to_points
    frame = np.array(ax.get_window_extent().padded(-2.0).extents) * to_points
    taken = np.empty((0, 4))
    for anchor, point, name in zip(at, points, names, strict=True):
        label = _write(ax, point, name)
        size = np.array(label.get_window_extent().size) * to_points
        offset, box = _free_place(anchor, size, frame, taken, avoided)
        if box is None:
            label.remove()
            continue
        label.set_position((float(offset[0]), float(offset[1])))
        if np.hypot(*offset) < LEADER and label.arrow_patch is not None:
            label.arrow_patch.set_visible(False)
        taken = np.vstack([taken, box])
    return len(names) - len(taken)


def _write(ax: "Axes", point: np.ndarray, name: str) -> "Annotation":
    """A name centred on its place, with a line from there to its mark."""
    label = ax.annotate(
        name,
        (float(point[0]), float(point[1])),
        xytext=(0.0, 0.0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=FONT_SIZE,
        color="black",
        arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.6, "shrinkB": 3.0},
        zorder=6,
    )
    label.set_in_layout(False)
    return label


def _free_place(
    anchor: Float[np.ndarray, " 2"],
    size: Float[np.ndarray, " 2"],
    frame: Float[np.ndarray, " 4"],
    taken: Float[np.ndarray, "t 4"],
    marks: Float[np.ndarray, "k 2"],
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 4"] | None]:
    """Offset and box of the nearest place that covers no label and fewest marks."""
    angles = 2.0 * np.pi * np.arange(N_DIRECTIONS) / N_DIRECTIONS
    turns = np.column_stack([np.cos(angles), np.sin(angles)])
    best, least = (np.zeros(2), None), np.inf
    for distance in DISTANCES:
        # the box touches the circle of this radius from outside
        offsets = turns * (distance + 0.5 * np.abs(turns) * size)
        for offset in offsets:
            low, high = anchor + offset - 0.5 * size, anchor + offset + 0.5 * size
            box = np.concatenate([low - GAP, high + GAP])
            if not _inside(box, frame) or _overlaps(box, taken):
                continue
            covered = _n_inside(box, marks)
            cost = covered + distance / 20.0
            if cost < least:
                best, least = (offset, box), cost
    return best


def _inside(box: Float[np.ndarray, " 4"], frame: Float[np.ndarray, " 4"]) -> bool:
    """Whether a box (x0, y0, x1, y1) lies in the frame."""
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _overlaps(box: Float[np.ndarray, " 4"], taken: Float[np.ndarray, "t 4"]) -> bool:
    """Whether a box overlaps any of the others."""
    apart = (taken[:, :2] >= box[2:]) | (taken[:, 2:] <= box[:2])
    return bool((~apart.any(axis=1)).any())


def _n_inside(box: Float[np.ndarray, " 4"], marks: Float[np.ndarray, "k 2"]) -> int:
    """How many marks a box covers."""
    low, high = box[:2] - MARK, box[2:] + MARK
    return int(((marks > low) & (marks < high)).all(axis=1).sum())
