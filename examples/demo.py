"""Separates the example, scores the stems and trains a small model, in two minutes.

make demo, or: python examples/demo.py [--out=demo-out]

The last step trains fnn on waveform on the first two thirds of the example's stems and
validates it on the rest. A minute shows that training works; the model itself is not worth
using.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from sep import audio, cli

_OUT = flags.DEFINE_string("out", "demo-out", "Folder for everything the demo writes.")
_STEPS = flags.DEFINE_integer("steps", 600, "Training steps; about a minute on two cores.")

ROOT = Path(__file__).parent.parent
DUET = ROOT / "examples" / "duet"


def main(argv: list[str]) -> None:
    """Runs the three commands as a user would, and prints where the results are."""
    cli.expect_no_arguments(argv)
    out = Path(_OUT.value)
    command("separate.py", f"--out={out}/stems", DUET / "mixture.flac")
    command("evaluate.py", f"--data={DUET.parent}", f"--out={out}/scores")

    make_dataset(out / "data")
    workdir = out / time.strftime("run-%Y%m%d-%H%M%S")
    command(
        "train.py",
        f"--data={out}/data",
        f"--workdir={workdir}",
        "--arch=fnn",
        "--representation=waveform",
        f"--config.train.steps={_STEPS.value}",
        # For 16 seconds of sound: short crops and less augmentation.
        "--config.data.crop_seconds=0.5",
        "--config.data.equaliser_db=0",
        "--config.data.absent=0",
        "--config.train.eval_every=100",
        "--config.train.eval_crops=8",
        "--config.train.eval_seconds=3",
        f"--config.data.cache={out}/cache",
    )
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    scores = [line["valid_si_sdri"] for line in log if "valid_si_sdri" in line]
    print(
        f"\nstems:   {out}/stems/mixture/\n"
        f"scores:  {out}/scores/table.md\n"
        f"listen:  {out}/scores/page/index.html\n"
        f"run:     {workdir}/ (loss {log[0]['loss']:.1f} -> {log[-1]['loss']:.1f}, SI-SDR "
        f"improvement in validation {scores[0]:.1f} -> {scores[-1]:.1f} dB)"
    )


def command(script: str, *arguments: str | Path) -> None:
    """Runs one of Sep's scripts; exits with its status if it fails."""
    words = [script, *map(str, arguments)]
    print("\n$ python", *words, flush=True)
    if code := subprocess.run([sys.executable, ROOT / words[0], *words[1:]]).returncode:
        sys.exit(code)


def make_dataset(folder: Path) -> None:
    """Writes the stems as a data set: two thirds in train/, the rest in valid/."""
    for source in ("piano", "violin"):
        wave_CT, rate = audio.read(DUET / f"{source}.flac")
        cut = wave_CT.shape[1] * 2 // 3
        for split, part in (("train", wave_CT[:, :cut]), ("valid", wave_CT[:, cut:])):
            audio.write(folder / split / source / "duet.wav", part, rate)


if __name__ == "__main__":
    cli.launch(main)
