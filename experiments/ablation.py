r"""Compares training material and augmentation by how well a model generalises.

  python experiments/ablation.py --rendered=DATA/train --real=REAL --rooms=ROOMS \
      --tests=seen=TEST_SEEN,unseen=TEST_UNSEEN,real=REAL/valid --out=ABLATION

Trains one small model on each of VARIANTS for equal steps, on the same rendered pieces
(`python -m sep.data render`) and real solos (`python -m sep.data pair`), scores it on every
test set, and writes OUT/results.csv, OUT/table.md and OUT/curves.png. Only violins and
augmentation differ: all variants have the same pianos. To resume an interrupted run, repeat
the command. --jobs=2 trains two variants at a time, each on half of the processors.
"""

import concurrent.futures
import json
import os
import queue
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

from sep import cli
from sep.evaluation import tables
from sep.evaluation.score import Row
from sep.evaluation.statistics import ALL, by_track, differences
from sep.runtime.processes import shares_of_cores
from sep.study.plan import names_among

_RENDERED = flags.DEFINE_string("rendered", None, "Rendered pieces.", required=True)
_REAL = flags.DEFINE_string("real", None, "Real solos: train/, valid/.", required=True)
_ROOMS = flags.DEFINE_string("rooms", None, "Impulse responses.", required=True)
_TESTS = flags.DEFINE_list("tests", None, "Test sets, as name=folder.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_VARIANTS = flags.DEFINE_list("variants", None, "Variants to train; default: all.")
_STEPS = flags.DEFINE_integer("steps", 1200, "Training steps of each variant.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Variants trained at a time.", lower_bound=1)
_ONE = flags.DEFINE_string("one", "philharmonia", "The violin of the variant `one`.")
_LEFT_OUT = flags.DEFINE_string(
    "left_out", "goodsounds", "The violin that no variant is trained on."
)

COMPUTED = "bowed-string"
SOURCES = ("piano", "violin")
METRIC = "si_sdr"
IDEAL = "irm"  # the ideal ratio mask, a measure of a test set's difficulty
SMALL = (  # the base config with a narrower network
    "--config.model.lstm.width=320",
    "--config.data.batch_size=12",
    "--config.train.eval_every=100",
    "--config.train.eval_crops=24",
)
# Augmentation of variants with `timbre`; the others have that of PLAIN.
TIMBRE = {
    "piano": {"pitch_semitones": 1.0, "formant_semitones": 1.0, "body_db": 2.0}
    | {"tilt_db": 1.5, "detune_cents": 5.0},
    "violin": {"pitch_semitones": 3.0, "formant_semitones": 4.0, "body_db": 6.0}
    | {"tilt_db": 1.5, "detune_cents": 0.0},
}
PLAIN = dict.fromkeys(TIMBRE["piano"], 0.0) | {"pitch_semitones": 1.0}
ROOM = 0.5  # chance
ROOT = Path(__file__).resolve().parents[1]


class Variant(NamedTuple):
    """Training material and augmentation of one model.

    Attributes:
      violins: "one", "sampled", or "all" (sampled and computed).
      timbre: whether body, formants and pitch are augmented.
      rooms: whether simulated rooms are an augmentation.
      real: whether real solos are added to the rendered ones.
    """

    violins: str
    timbre: bool = False
    rooms: bool = False
    real: bool = False


VARIANTS = {
    "one": Variant("one"),
    "sampled": Variant("sampled"),
    "timbre": Variant("sampled", timbre=True),
    "computed": Variant("all"),
    "rooms": Variant("sampled", rooms=True),
    "real": Variant("sampled", real=True),
    "all": Variant("all", timbre=True, rooms=True, real=True),
}
BASE = "sampled"  # the variant that the others are compared with


def main(argv: list[str]) -> None:
    """Trains and scores the variants, and writes table and curves."""
    cli.expect_no_arguments(argv)
    out = Path(_OUT.value)
    tests = cli.named(_TESTS.value, "--tests")
    names = names_among("variant", _VARIANTS.value or [], VARIANTS)
    shares: queue.Queue[set[int] | None] = queue.Queue()
    for processors in shares_of_cores(_JOBS.value):
        shares.put(processors)

    def train_one(name: str) -> None:
        processors = shares.get()
        try:
            train_and_score(out, name, VARIANTS[name], tests, processors)
        finally:
            shares.put(processors)

    with concurrent.futures.ThreadPoolExecutor(_JOBS.value) as pool:
        list(pool.map(train_one, names))
    rows = rows_of(out, names, list(tests))
    tables.write_csv(out / "results.csv", rows, Row._fields)
    table = report(rows, names, list(tests))
    (out / "table.md").write_text(table)
    print(table)
    draw_curves(out, names)


def train_and_score(
    out: Path,
    name: str,
    variant: Variant,
    tests: dict[str, str],
    processors: set[int] | None,
) -> None:
    """Links the data of one variant, trains it and scores it on the test sets.

    Work that an earlier call completed is not repeated.
    """
    run = out / name
    link_data(run / "data", variant)
    settings = list(SMALL) + [f"--config.train.steps={_STEPS.value}"]
    settings.append(f"--config.data.room={ROOM if variant.rooms else 0.0}")
    for source, strengths in TIMBRE.items():
        settings += [
            f"--config.data.timbre.{source}.{setting}={value}"
            for setting, value in (strengths if variant.timbre else PLAIN).items()
        ]
    call(
        run / "train.log",
        processors,
        "train.py",
        f"--data={run / 'data'}",
        f"--workdir={run / 'run'}",
        *settings,
    )
    for test, folder in tests.items():
        place = run / test
        call(
            run / "evaluate.log",
            processors,
            "evaluate.py",
            f"--model={name}={run / 'run'}",
            f"--data={test}={folder}",
            f"--out={place}",
            f"--references={IDEAL}",
            "--page_tracks=0",
        )


def call(log: Path, processors: set[int] | None, script: str, *arguments: str) -> None:
    """Runs one of Sep's scripts on some of the processors; its output goes to a log.

    Raises:
      RuntimeError: the script fails.
    """
    with log.open("a") as file:
        status = subprocess.run(
            [sys.executable, str(ROOT / script), *arguments],
            stdout=file,
            stderr=file,
            preexec_fn=processors and partial(os.sched_setaffinity, 0, processors),
        ).returncode
    if status:
        raise RuntimeError(f"{script} failed; see {log}")


def link_data(folder: Path, variant: Variant) -> None:
    """Makes a data folder for train.py from links.

    It has all pianos, the variant's violins, and real solos for validation.
    """
    if folder.exists():
        return
    part = folder.with_name("data.making")
    shutil.rmtree(part, ignore_errors=True)
    for source in SOURCES:
        (part / "train" / source).mkdir(parents=True)
    for manifest in sorted(Path(_RENDERED.value).glob("*/manifest.json")):
        piece = manifest.parent.resolve()
        violin = json.loads(manifest.read_text())["sources"]["violin"]["instrument"]
        if violin == _LEFT_OUT.value:
            continue
        link(part / "train/piano", piece / "piano.flac", piece.name)
        sampled = violin != COMPUTED
        included = {"one": violin == _ONE.value, "sampled": sampled, "all": True}
        if included[variant.violins]:
            link(part / "train/violin", piece / "violin.flac", piece.name)
    if variant.real:
        for source in SOURCES:
            for path in sorted((Path(_REAL.value) / "train" / source).iterdir()):
                link(part / "train" / source, path.resolve(), path.stem)
    if variant.rooms:
        (part / "rooms").symlink_to(Path(_ROOMS.value).resolve())
    (part / "valid").symlink_to((Path(_REAL.value) / "valid").resolve())
    part.rename(folder)


def link(folder: Path, path: Path, name: str) -> None:
    """Makes a link with another name to a sound file."""
    (folder / f"{name}{path.suffix}").symlink_to(path)


def rows_of(out: Path, names: list[str], tests: list[str]) -> list[Row]:
    """Reads all scores; those of the ideal mask, which every evaluation repeats, once."""
    rows = [
        row
        for name in names
        for test in tests
        for row in tables.read_csv(out / name / test / "results.csv")
    ]
    return list({row[:5]: row for row in rows}.values())


def report(rows: list[Row], names: list[str], tests: list[str]) -> str:
    """A Markdown table: mean SI-SDR, and its difference from BASE with a 95 % interval."""
    lines = ["| variant | " + " | ".join(tests) + " |", "|---" * (len(tests) + 1) + "|"]
    better = {(s.system, s.test): s for s in differences(rows, BASE, METRIC)}
    for name in (*names, IDEAL):
        cells = []
        for test in tests:
            score = np.mean(list(by_track(rows, test, ALL, name, METRIC).values()))
            cell = f"{score:.2f}"
            if name != IDEAL and (gain := better.get((name, test))):
                cell += f" ({gain.value:+.2f}: {gain.low:+.2f} to {gain.high:+.2f})"
            cells.append(cell)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw_curves(out: Path, names: list[str]) -> None:
    """Plots validation SI-SDR against steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name in names:
        lines = (out / name / "run" / "metrics.jsonl").read_text().splitlines()
        points = [json.loads(line) for line in lines if "valid_si_sdr" in line]
        axes.plot(
            [p["step"] for p in points], [p["valid_si_sdr"] for p in points], label=name
        )
    axes.set_xlabel("training step")
    axes.set_ylabel("SI-SDR on real solos for validation (dB)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out / "curves.png", dpi=120)


if __name__ == "__main__":
    cli.launch(main)
