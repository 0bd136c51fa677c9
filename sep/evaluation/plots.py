"""Box plots of scores: a picture for each test set, a box for each system and source."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from sep.errors import UserError
from sep.evaluation.metrics import MAIN, METRICS
from sep.evaluation.score import Row
from sep.evaluation.statistics import by_track
from sep.runtime.files import replacing


class MissingError(UserError):
    """Matplotlib is not installed."""


def library() -> ModuleType:
    """Returns Matplotlib's pyplot, set to draw to files.

    Raises:
      MissingError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingError(
            "they need matplotlib: pip install '.[plot]' in Sep's folder"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def boxes(path: Path, rows: Sequence[Row], test: str) -> None:
    """Writes a PNG with boxes of the main metric over a test set's tracks."""
    pyplot = library()
    systems = list(dict.fromkeys(row.system for row in rows if row.test == test))
    sources = list(dict.fromkeys(row.source for row in rows if row.test == test))
    figure, axes = pyplot.subplots(
        figsize=(1.5 + 1.1 * len(systems), 4), layout="constrained"
    )
    width = 0.8 / len(sources)
    for number, source in enumerate(sources):
        found = [by_track(rows, test, source, system, MAIN) for system in systems]
        values = [list(filter(np.isfinite, of_tracks.values())) for of_tracks in found]
        positions = np.arange(len(systems)) + (number - (len(sources) - 1) / 2) * width
        colour = f"C{number}"
        drawn = axes.boxplot(
            values,
            positions=positions,
            widths=0.85 * width,
            patch_artist=True,
            medianprops={"color": "black"},
            flierprops={"markersize": 3},
        )
        for box in drawn["boxes"]:
            box.set_facecolor(colour)
            box.set_alpha(0.6)
        axes.plot([], [], "s", color=colour, alpha=0.6, label=source)
    axes.set_xticks(range(len(systems)), systems, rotation=20)
    axes.set_ylabel(METRICS[MAIN].axis_label)
    axes.set_title(test)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    with replacing(path) as part:
        figure.savefig(part, dpi=120, format="png")
    pyplot.close(figure)
