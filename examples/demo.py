"""The whole path in two minutes: separate the example, score it, train a small model.

make demo, or: python examples/demo.py [--out=demo-out]

The last step trains fnn on waveform on the first two thirds of the example's stems and
validates it on the rest. A minute is enough to see that training works, not to get a
model worth using.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from sep import audio, cli

_OUT = flags.DEFINE_string("out", "demo-out", "Folder for everything the demo makes.")
_STEPS = flags.DEFINE_integer("steps", 600, "Training steps; about a minute on two cores.")

ROOT = Path(__file__).parent.parent
DUET = ROOT / "examples" / "duet"


def main(argv: list[str]) -> None:
    """Runs the three commands as a user would, and says where everything is."""
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
        # For 16 seconds of sound: short crops, and no variety that they do not have.
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
        f"improvement on what it never heard {scores[0]:.1f} -> {scores[-1]:.1f} dB)"
    )


def command(script: str, *arguments) -> None:
    """Runs one of Sep's scripts, and ends the demo if it fails."""
    words = [script, *map(str, arguments)]
    print("\n$ python", *words, flush=True)
    if code := subprocess.run([sys.executable, ROOT / words[0], *words[1:]]).returncode:
        sys.exit(code)


def make_dataset(folder: Path) -> None:
    """The example's stems as a data set: two thirds to train, the rest to validate."""
    for source in ("piano", "violin"):
        wave_CT, rate = audio.read(DUET / f"{source}.flac")
        cut = wave_CT.shape[1] * 2 // 3
        for split, part in (("train", wave_CT[:, :cut]), ("valid", wave_CT[:, cut:])):
            audio.write(folder / split / source / "duet.wav", part, rate)


if __name__ == "__main__":
    cli.launch(main)
