r"""Which training material, and which augmentation, makes a separator generalise?

  python examples/ablation.py --rendered=DATA/train --real=REAL --rooms=ROOMS \
      --tests=seen=TEST_SEEN,unseen=TEST_UNSEEN,real=REAL/valid --out=ABLATION

Trains one small model on each of VARIANTS for equal steps, from the same pieces (see
`python -m sep.data render`) and the same real solos (`python -m sep.data pair`), scores it
on every test set, and writes OUT/scores.csv, OUT/table.md and OUT/curves.png. Only violins
and augmentation differ: all variants have the same pianos. A run that was stopped goes on
with the same command; --jobs=2 trains two variants at a time, each on half the processors.
"""

import concurrent.futures
import csv
import json
import os
import queue
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags

_RENDERED = flags.DEFINE_string("rendered", None, "Rendered pieces.", required=True)
_REAL = flags.DEFINE_string("real", None, "Real solos: train/, valid/.", required=True)
_ROOMS = flags.DEFINE_string("rooms", None, "Impulse responses.", required=True)
_TESTS = flags.DEFINE_list("tests", None, "Test sets, as name=folder.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_VARIANTS = flags.DEFINE_list("variants", None, "Only these; default: all.")
_STEPS = flags.DEFINE_integer("steps", 1200, "Training steps of each variant.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Variants trained at a time.")
_ONE = flags.DEFINE_string("one", "philharmonia", "The violin of the variant `one`.")
_LEFT_OUT = flags.DEFINE_string("left_out", "goodsounds", "The violin none may hear.")

COMPUTED = "bowed-string"
SOURCES = ("piano", "violin")
SMALL = (  # the bundled model's architecture, narrower, and every other setting the same
    "--config.model.lstm.hidden=160",
    "--config.data.batch_size=12",
    "--config.train.eval_every=100",
    "--config.train.eval_crops=24",
)
# What a variant switches on; all others have it off.
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
    """What one model hears."""

    violins: str  # one, sampled, all (sampled and computed)
    timbre: bool = False  # body, formants, pitch: another instrument each time
    rooms: bool = False
    real: bool = False  # real solos beside the rendered ones


VARIANTS = {
    "one": Variant("one"),
    "sampled": Variant("sampled"),
    "timbre": Variant("sampled", timbre=True),
    "computed": Variant("all"),
    "rooms": Variant("sampled", rooms=True),
    "real": Variant("sampled", real=True),
    "all": Variant("all", timbre=True, rooms=True, real=True),
}
BASE = "sampled"  # what the others are compared with


def main(argv: list[str]) -> None:
    """Lays out the data, trains, scores, compares."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]}: takes flags only")
    out = Path(_OUT.value)
    tests = dict(test.split("=", 1) for test in _TESTS.value)
    names = _VARIANTS.value or list(VARIANTS)
    slots = queue.Queue()
    for processors in np.array_split(sorted(os.sched_getaffinity(0)), _JOBS.value):
        slots.put({int(p) for p in processors})

    def one(name: str) -> None:
        processors = slots.get()
        try:
            train_and_score(out, name, VARIANTS[name], tests, processors)
        finally:
            slots.put(processors)

    with concurrent.futures.ThreadPoolExecutor(_JOBS.value) as pool:
        list(pool.map(one, names))
    rows = [row for name in names for row in scores_of(out, name, tests)]
    with (out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table = report(rows, names, list(tests)) + oracle_row(tests)
    (out / "table.md").write_text(table)
    print(table)
    draw_curves(out, names)


def train_and_score(
    out: Path, name: str, variant: Variant, tests: dict, processors
) -> None:
    """One variant from its data to its scores; what is there already is not repeated."""
    run = out / name
    lay_out(run / "data", variant)
    flags_of = list(SMALL) + [f"--config.train.steps={_STEPS.value}"]
    flags_of.append(f"--config.data.room={ROOM if variant.rooms else 0.0}")
    for source, strengths in TIMBRE.items():
        flags_of += [
            f"--config.data.timbre.{source}.{setting}={value}"
            for setting, value in (strengths if variant.timbre else PLAIN).items()
        ]
    call(
        run / "train.log",
        processors,
        "train.py",
        f"--data={run / 'data'}",
        f"--workdir={run / 'run'}",
        *flags_of,
    )
    for test, folder in tests.items():
        place = run / test
        if not (place / "scores.csv").exists():
            call(
                run / "evaluate.log",
                processors,
                "evaluate.py",
                f"--model={run / 'run'}",
                f"--data={folder}",
                f"--out={place}",
            )


def call(log: Path, processors: set[int], script: str, *arguments: str) -> None:
    """Runs one of Sep's scripts on some of the processors."""
    with log.open("a") as file:
        status = subprocess.run(
            [sys.executable, str(ROOT / script), *arguments],
            stdout=file,
            stderr=file,
            preexec_fn=lambda: os.sched_setaffinity(0, processors),
        ).returncode
    if status:
        raise RuntimeError(f"{script} failed; see {log}")


def lay_out(folder: Path, variant: Variant) -> None:
    """DATA for train.py, of links: all pianos, the variant's violins, real validation."""
    if folder.exists():
        return
    making = folder.with_name("data.making")
    shutil.rmtree(making, ignore_errors=True)
    for source in SOURCES:
        (making / "train" / source).mkdir(parents=True)
    for manifest in sorted(Path(_RENDERED.value).glob("*/manifest.json")):
        piece = manifest.parent.resolve()
        violin = json.loads(manifest.read_text())["sources"]["violin"]["instrument"]
        if violin == _LEFT_OUT.value:
            continue
        link(making / "train/piano", piece / "piano.flac", piece.name)
        sampled = violin != COMPUTED
        wanted = {"one": violin == _ONE.value, "sampled": sampled, "all": True}
        if wanted[variant.violins]:
            link(making / "train/violin", piece / "violin.flac", piece.name)
    if variant.real:
        for source in SOURCES:
            for path in sorted((Path(_REAL.value) / "train" / source).iterdir()):
                link(making / "train" / source, path.resolve(), path.stem)
    if variant.rooms:
        (making / "rooms").symlink_to(Path(_ROOMS.value).resolve())
    (making / "valid").symlink_to((Path(_REAL.value) / "valid").resolve())
    making.rename(folder)


def link(folder: Path, path: Path, name: str) -> None:
    """A link to a sound file, under another name."""
    (folder / f"{name}{path.suffix}").symlink_to(path)


def scores_of(out: Path, name: str, tests: dict) -> list[dict]:
    """The model's rows on every test set; the mixture's are left out."""
    rows = []
    for test in tests:
        with (out / name / test / "scores.csv").open() as file:
            found = [row for row in csv.DictReader(file) if row["system"] != "mixture"]
        rows += [{"variant": name, "test": test} | row for row in found]
    return rows


def report(rows: list[dict], names: list[str], tests: list[str]) -> str:
    """A Markdown table: mean SI-SDR, and how it differs from BASE's, 95 % intervals."""
    lines = ["| variant | " + " | ".join(tests) + " |", "|---" * (len(tests) + 1) + "|"]
    for name in names:
        cells = []
        for test in tests:
            score_N = per_track(rows, name, test)
            cell = f"{score_N.mean():.2f}"
            base_N = per_track(rows, BASE, test)
            if name != BASE and len(base_N):
                low, high = interval(score_N - base_N)
                cell += f" ({(score_N - base_N).mean():+.2f}: {low:+.2f} to {high:+.2f})"
            cells.append(cell)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def oracle_row(tests: dict) -> str:
    """Of the table: what an ideal ratio mask reaches, the measure of a set's difficulty."""
    cells = [
        f"{np.mean([oracle(track) for track in sorted(Path(folder).glob('*/'))]):.2f}"
        for folder in tests.values()
    ]
    return "| ideal ratio mask (magnitudes) | " + " | ".join(cells) + " |\n"


def oracle(track: Path) -> float:
    """SI-SDR in dB, the mean of the sources, of masks made of the sources' magnitudes."""
    from sep import audio
    from sep.metrics import si_sdr
    from sep.references import oracles
    from sep.references.spectra import Transform

    found = [audio.read(next(track.glob(f"{name}.*"))) for name in SOURCES]
    stems_SCT = np.stack([stem_CT for stem_CT, _ in found])
    transform = Transform().at(found[0][1])
    # Of powers it would be a decibel higher.
    estimates_SCT = oracles.irm(stems_SCT.sum(0), stems_SCT, transform, exponent=1.0)
    joined = (len(SOURCES), -1)
    return float(si_sdr(stems_SCT.reshape(joined), estimates_SCT.reshape(joined)).mean())


def per_track(rows: list[dict], name: str, test: str) -> np.ndarray:
    """SI-SDR in dB, the mean of the sources, one number a track, in the tracks' order."""
    tracks = {}
    for row in rows:
        if (row["variant"], row["test"]) == (name, test):
            tracks.setdefault(row["track"], []).append(float(row["si_sdr"]))
    return np.array([np.mean(tracks[track]) for track in sorted(tracks)])


def interval(difference_N: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over tracks."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(difference_N), size=(10000, len(difference_N)))
    low, high = np.percentile(difference_N[drawn].mean(1), [2.5, 97.5])
    return float(low), float(high)


def draw_curves(out: Path, names: list[str]) -> None:
    """Validation SI-SDR over steps."""
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
    app.run(main)
