"""Plots of a study: scores of all pairs, scores against cost, learning curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from sep.evaluation.metrics import MAIN, METRICS
from sep.runtime.files import replacing
from sep.study.results import by_pair, mean, score

_MARKERS = "osD^vP*X"


def heat_map(
    path: Path, rows: list[dict[str, Any]], tests: Sequence[str], name: str
) -> None:
    """Draws a metric of all pairs: a heat map for each test set, side by side."""
    representations = list(dict.fromkeys(row["representation"] for row in rows))
    architectures = list(dict.fromkeys(row["architecture"] for row in rows))
    groups = by_pair(rows)
    size = (1.5 + len(tests) * (1 + 0.8 * len(architectures)), 1.5 + len(representations))
    figure, axes = pyplot.subplots(
        1, len(tests), figsize=size, layout="constrained", squeeze=False
    )
    for axis, test in zip(axes[0], tests, strict=True):
        scores = np.array(
            [
                [score(groups.get((r, a), []), test, name) for a in architectures]
                for r in representations
            ]
        )
        image = axis.imshow(scores, cmap="viridis")
        middle = (np.nanmin(scores) + np.nanmax(scores)) / 2
        for (i, j), value in np.ndenumerate(scores):
            if np.isfinite(value):
                colour = "black" if value > middle else "white"
                axis.text(j, i, f"{value:.1f}", ha="center", va="center", color=colour)
        axis.set_xticks(range(len(architectures)), architectures, rotation=45, ha="right")
        axis.set_yticks(range(len(representations)), representations)
        axis.set_title(f"test {test}: {METRICS[name].axis_label}")
        figure.colorbar(image, ax=axis, shrink=0.8)
    _save(figure, path)


def quality_against_cost(path: Path, rows: list[dict[str, Any]], test: str) -> None:
    """Draws SI-SDR over GFLOP; colours are architectures, markers representations."""
    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    representations = list(dict.fromkeys(row["representation"] for row in rows))
    architectures = list(dict.fromkeys(row["architecture"] for row in rows))
    for (representation, architecture), group in by_pair(rows).items():
        axis.scatter(
            mean(row["gflop_a_second"] for row in group),
            score(group, test),
            color=f"C{architectures.index(architecture)}",
            marker=_MARKERS[representations.index(representation) % len(_MARKERS)],
        )
    for i, name in enumerate(architectures):
        axis.scatter([], [], color=f"C{i}", marker="s", label=name)
    for i, name in enumerate(representations):
        axis.scatter([], [], color="grey", marker=_MARKERS[i % len(_MARKERS)], label=name)
    axis.set_xscale("log")
    axis.set_xlabel("GFLOP to separate a second of one channel")
    main = METRICS[MAIN]
    axis.set_ylabel(f"{main.label} on test {test} ({main.unit})")
    axis.grid(alpha=0.3)
    axis.legend(bbox_to_anchor=(1.01, 1), loc="upper left")
    _save(figure, path)


def learning_curves(path: Path, results: list[dict[str, Any]]) -> None:
    """Draws validation SI-SDR over training TFLOP, a plot for each architecture."""
    architectures = list(dict.fromkeys(result["architecture"] for result in results))
    representations = list(dict.fromkeys(result["representation"] for result in results))
    columns = min(3, len(architectures))
    rows = -(-len(architectures) // columns)
    figure, axes = pyplot.subplots(
        *(rows, columns),
        figsize=(4.5 * columns, 3.2 * rows),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for axis in axes.flat[len(architectures) :]:
        axis.set_axis_off()
    for axis, architecture in zip(axes.flat, architectures, strict=False):
        labelled: set[str] = set()
        for result in results:
            if result["architecture"] == architecture and result["curve"]:
                name = result["representation"]
                colour = f"C{representations.index(name)}"
                label = None if name in labelled else name
                axis.plot(*np.array(result["curve"]).T, color=colour, label=label)
                labelled.add(name)
        axis.set_title(architecture)
        axis.set_xlabel("training TFLOP")
        axis.set_ylabel("validation SI-SDR (dB)")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120)
    pyplot.close(figure)
