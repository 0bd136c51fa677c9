"""The study of docs/study.md: every pair for a little work, the best for more.

  python examples/study.py --data=STEMS --tests=A=TEST_A,B=REAL/test --out=runs/study

or make study STUDY_FLAGS="--data=... --tests=... --out=...". First all pairs; then the
networks that this project began with, two of the pairs as they see frames without their
level, and the network that was found last, harmonic. Then, from here on without the level,
the twelve best pairs on the first test for four times as much work; then the four best of
those for four times as much again, with two seeds. Stop it whenever you like,
for the same command goes on. Rounds that --rounds leaves out, and that are not in --out,
are taken from docs/study. With --figures=docs/study tables, plots and sounds are put there,
as docs/study.md shows them. What follows a lone -- goes to every study.py.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags

from sep import audio, cli
from sep.study.plan import SOME_FAILED, names_among

_DATA = flags.DEFINE_string("data", None, "Stems, as for train.py.", required=True)
_TESTS = flags.DEFINE_string("tests", None, "Test sets: NAME=DIR,...", required=True)
_OUT = flags.DEFINE_string("out", "runs/study", "Folder for the rounds.")
_FIGURES = flags.DEFINE_string("figures", None, "Folder for copies of what is shown.")
_JOBS = flags.DEFINE_integer("jobs", 2, "Cells at once, each on its share of the cores.")
_TFLOP = flags.DEFINE_float(
    "tflop", 2.5, "Work of a cell of the first round; about 4 minutes on one core."
)
_ROUNDS = flags.DEFINE_list("rounds", None, "Only these, by name; default: all.")

ROOT = Path(__file__).parent.parent
PROBE_SHARE = 0.5  # of the first round's cells: shorter ones choose rates that end lower
TABLES = "results.md", "results.csv"
LEVEL_FREE = "--config.model.level_free=true"
PICTURES = "heat_map.png", "bleeding.png", "quality_against_cost.png", "curves.png"


class Round(NamedTuple):
    """One call of study.py."""

    name: str  # of its folder
    times: int  # the work of a cell, in that of the first round's
    flags: tuple[str, ...] = ()
    config: str = "study"
    start: tuple[str, ...] = ()  # the rounds whose best go on
    shown: tuple[str, ...] = TABLES  # what --figures gets
    heard: tuple[str, ...] = ()  # pairs whose excerpts it gets, too


def original(representation: str) -> Round:
    """A network of the project's beginnings, in its own sizes."""
    names = f"--representations={representation}", "--architectures=fnn", "--rates=1e-3"
    return Round(f"original_{representation}", 4, names, f"original_{representation}")


ROUNDS = (
    Round(
        "all",
        1,
        ("--architectures=fnn,cnn,rnn,lstm,tcn,bandsplit",),
        shown=TABLES + PICTURES,
        heard=("waveform-fnn", "magnitude-fnn"),
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
    Round(  # for bins at equal distances of frequency
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
        shown=TABLES + PICTURES,
    ),
    Round(
        "four",
        16,
        ("--best=4", "--seeds=2", LEVEL_FREE),
        start=("twelve",),
        shown=TABLES + PICTURES,
        heard=("log_magnitude-harmonic",),
    ),
)


def status(command: list[str]) -> int:
    """Of a command that is left alone to save what it has, if it is to stop."""
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # the child hears it, too
            return child.wait()


def table_of(name: str) -> Path:
    """The results of an earlier round: of this study, or those that are published."""
    ours = Path(_OUT.value) / name / "results.csv"
    return ours if ours.exists() else ROOT / "docs" / "study" / f"{name}_results.csv"


def copy_sounds(one: Round, folder: Path) -> None:
    """The excerpt and what pairs made of it, their first seed, as Ogg of one channel."""
    out = Path(_OUT.value) / one.name
    found = {"": sorted((out / "excerpt").rglob("*.wav"))}
    for pair in one.heard:
        cells = sorted((out / "cells").glob(f"{pair}-*/sounds"))
        found[f"{pair}_"] = sorted(cells[0].rglob("*.wav")) if cells else []
    for name, path in ((f"{n}{path.stem}.ogg", path) for n in found for path in found[n]):
        wave_CT, rate = audio.read(path)
        mono_T1 = wave_CT.mean(0)[:, None]
        sound, ogg = audio.Format(rate, 1), audio.Encoding("ogg", "auto")
        with audio.writers([folder / name], sound, len(mono_T1), ogg) as (file,):
            file.write(mono_T1)


def main(argv: list[str]) -> int:
    """Runs the rounds."""
    out, failed = Path(_OUT.value), 0
    chosen = names_among("round", _ROUNDS.value or [], [one.name for one in ROUNDS])
    for one in ROUNDS:
        if one.name not in chosen:
            continue
        config = ROOT / "configs" / f"{one.config}.py"
        earlier = ",".join(str(table_of(name)) for name in one.start)
        start = [f"--from={earlier}"] if earlier else []
        command = [
            *(sys.executable, ROOT / "study.py", f"--config={config}"),
            *(f"--data={_DATA.value}", f"--tests={_TESTS.value}"),
            *(f"--out={out / one.name}", f"--tflop={one.times * _TFLOP.value:g}"),
            *(f"--probe_share={PROBE_SHARE}", f"--jobs={_JOBS.value}"),
            *(*start, *one.flags, *argv[1:]),
        ]
        if code := status(command):
            failed = code
            if code != SOME_FAILED:
                sys.exit(code)
        if _FIGURES.value:
            for name in one.shown:
                place = Path(_FIGURES.value, f"{one.name}_{name}")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(out / one.name / name, place)
            if one.heard:
                copy_sounds(one, Path(_FIGURES.value, "sounds"))
    return failed


if __name__ == "__main__":
    cli.launch(main)
