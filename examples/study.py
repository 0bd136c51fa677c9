"""Runs the study of docs/study.md: all pairs for a little work, the best ones for more.

  python examples/study.py --data=STEMS --tests=A=TEST_A,B=REAL/test --out=runs/study

or make study STUDY_FLAGS="--data=... --tests=... --out=...". The rounds:

1. all pairs of representation and architecture;
2. the project's original networks;
3. two of the pairs on level-free features (model.level_free);
4. harmonic, on level-free features as in all rounds that follow;
5. the twelve best pairs on the first test, for four times as much work;
6. the four best of those, for four times as much again, with two seeds.

To resume an interrupted study, repeat the command. --rounds chooses rounds; the results of
the others are read from --out or else from docs/study. --figures=docs/study copies tables,
plots and sounds there, as docs/study.md shows them. Arguments after a lone -- are passed to
every study.py.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from sep import audio, cli
from sep.study.plan import SOME_FAILED, names_among

_DATA = flags.DEFINE_string("data", None, "Stems, as for train.py.", required=True)
_TESTS = flags.DEFINE_string("tests", None, "Test sets: NAME=DIR,...", required=True)
_OUT = flags.DEFINE_string("out", "runs/study", "Folder for the rounds.")
_FIGURES = flags.DEFINE_string(
    "figures", None, "Folder for copies of tables, plots and sounds."
)
_JOBS = flags.DEFINE_integer("jobs", 2, "Cells at once, each on its share of the cores.")
_TFLOP = flags.DEFINE_float(
    "tflop", 2.5, "Work of a cell of the first round; about 4 minutes on one core."
)
_ROUNDS = flags.DEFINE_list("rounds", None, "Rounds to run, by name; default: all.")

ROOT = Path(__file__).parent.parent
PROBE_SHARE = 0.5  # of a cell's work; shorter probes choose rates with lower final scores
TABLES = "results.md", "results.csv"
LEVEL_FREE = "--config.model.level_free=true"
PICTURES = "heat_map.png", "bleeding.png", "quality_against_cost.png", "curves.png"


class Round(NamedTuple):
    """One call of study.py.

    Attributes:
      name: of the round and of its folder.
      times: work of a cell, as a multiple of that of the first round.
      flags: further flags.
      config: name of the file in configs/.
      start: names of the rounds from which the best pairs are taken.
      figures: names of the files that --figures copies.
      sounds: pairs of which --figures copies the excerpts.
    """

    name: str
    times: int
    flags: tuple[str, ...] = ()
    config: str = "study"
    start: tuple[str, ...] = ()
    figures: tuple[str, ...] = TABLES
    sounds: tuple[str, ...] = ()


def original(representation: str) -> Round:
    """The round of an original network of the project, in its original size."""
    names = f"--representations={representation}", "--architectures=fnn", "--rates=1e-3"
    return Round(f"original_{representation}", 4, names, f"original_{representation}")


ROUNDS = (
    Round(
        "all",
        1,
        ("--architectures=fnn,cnn,rnn,lstm,tcn,bandsplit",),
        figures=TABLES + PICTURES,
        sounds=("waveform-fnn", "magnitude-fnn"),
    ),
    original("waveform"),
    original("magnitude"),
    Round(
        "level_free",
        1,
        (
            *("--representations=magnitude", "--architectures=fnn,lstm", "--rates=3e-3"),
            LEVEL_FREE,
        ),
    ),
    Round(  # harmonic needs bins that are equally spaced in frequency
        "harmonic",
        1,
        (
            "--representations=magnitude,log_magnitude,complex,mdct",
            *("--architectures=harmonic", "--rates=3e-3", LEVEL_FREE),
        ),
    ),
    Round(
        "twelve",
        4,
        ("--best=12", LEVEL_FREE),
        start=("all", "harmonic"),
        figures=TABLES + PICTURES,
    ),
    Round(
        "four",
        16,
        ("--best=4", "--seeds=2", LEVEL_FREE),
        start=("twelve",),
        figures=TABLES + PICTURES,
        sounds=("log_magnitude-harmonic",),
    ),
)


def status_of(command: Sequence[str | Path]) -> int:
    """Runs a command and returns its status.

    The command handles signals itself, so that it can save its work before it ends.
    """
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # the child receives SIGINT, too
            return child.wait()


def table_of(name: str) -> Path:
    """The results of an earlier round: of this study, or else the published ones."""
    ours = Path(_OUT.value) / name / "results.csv"
    return ours if ours.exists() else ROOT / "docs" / "study" / f"{name}_results.csv"


def copy_sounds(one: Round, folder: Path) -> None:
    """Writes the excerpt and its stems by some pairs, first seed, as mono Ogg files."""
    out = Path(_OUT.value) / one.name
    paths = {"": sorted((out / "excerpt").rglob("*.wav"))}  # by prefix of the new names
    for pair in one.sounds:
        cells = sorted((out / "cells").glob(f"{pair}-*/sounds"))
        paths[f"{pair}_"] = sorted(cells[0].rglob("*.wav")) if cells else []
    for prefix in paths:
        for path in paths[prefix]:
            write_mono(path, folder / f"{prefix}{path.stem}.ogg")


def write_mono(path: Path, target: Path) -> None:
    """Writes the mean of a recording's channels as an Ogg file."""
    wave_CT, rate = audio.read(path)
    mono_T1 = wave_CT.mean(0)[:, None]
    sound, ogg = audio.Format(rate, 1), audio.Encoding("ogg", "auto")
    with audio.writers([target], sound, len(mono_T1), ogg) as (file,):
        file.write(mono_T1)


def copy_figures(one: Round, folder: Path) -> None:
    """Copies the tables, plots and sounds of a round into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in one.figures:
        source = Path(_OUT.value) / one.name / name
        shutil.copyfile(source, folder / f"{one.name}_{name}")
    if one.sounds:
        copy_sounds(one, folder / "sounds")


def main(argv: list[str]) -> int:
    """Runs the rounds; returns the status of the last one that failed, or 0."""
    out, failed = Path(_OUT.value), 0
    chosen = names_among("round", _ROUNDS.value or [], [one.name for one in ROUNDS])
    for one in ROUNDS:
        if one.name not in chosen:
            continue
        config = ROOT / "configs" / f"{one.config}.py"
        earlier = ",".join(str(table_of(name)) for name in one.start)
        start = [f"--from={earlier}"] if earlier else []
        command: list[str | Path] = [
            *(sys.executable, ROOT / "study.py", f"--config={config}"),
            *(f"--data={_DATA.value}", f"--tests={_TESTS.value}"),
            *(f"--out={out / one.name}", f"--tflop={one.times * _TFLOP.value:g}"),
            *(f"--probe_share={PROBE_SHARE}", f"--jobs={_JOBS.value}"),
            *(*start, *one.flags, *argv[1:]),
        ]
        if code := status_of(command):
            failed = code
            if code != SOME_FAILED:
                sys.exit(code)
        if _FIGURES.value:
            copy_figures(one, Path(_FIGURES.value))
    return failed


if __name__ == "__main__":
    cli.launch(main)
