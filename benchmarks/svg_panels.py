"""Plots of the documentation, as SVG. The same figures give the same file; it can be read on white and on black."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_GREY = "#808080"  # text and axes; it can be read on white and on black


@contextmanager
def svg_panels(path: Path, count: int, size: tuple[float, float]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Draw panels side by side, and write them when the block ends without an exception.

    Args:
        path: the SVG file.
        count: the number of panels.
        size: width and height of all of them, in inches.

    Yields:
        The figure of matplotlib, and its axes.
    """
    import matplotlib as mpl  # needed for this only

    mpl.use("svg")
    style: Any = {
        "svg.hashsalt": "onebar",  # the same figures give the same file
        "svg.fonttype": "none",  # text stays text, which is smaller than its outlines
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _GREY),
    }
    with mpl.rc_context(style):
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(1, count, figsize=size, squeeze=False)
        try:
            yield figure, axes[0]
            for axis in axes[0]:
                axis.spines[["top", "right"]].set_visible(False)
            figure.set_layout_engine("constrained")
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
        finally:
            pyplot.close(figure)
