"""Times the loader against the training step that eats what it delivers.

  .venv-bench/bin/python benchmarks/data.py --data=DATA          (after `make bench-env`)
  .venv-bench/bin/python benchmarks/data.py --minutes=30         is its memory flat?

Without --data it makes stems of noise in a temporary folder: --hours of each source,
half of them as tracks. Both work with the base config (but for --workers), on the same
processors, one after the other in every round: the loader is timed once what it had made
ahead is used up. The last line is JSON: `ratio` is the audio a second that the
loader delivers over that which the lstm's training step eats, its mixing included;
`mixing_share` is the part of the step that mixing alone takes. With --minutes the loader
reads on for so long, and `growth_mib` is by how much its process then grew.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

from threads import pin


def main() -> None:
    """Prints the table and the line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of stems, DATA/train/...")
    parser.add_argument("--hours", type=float, default=1.0, help="of noise; default 1")
    parser.add_argument("--rooms", type=int, default=20, help="of noise; default 20")
    parser.add_argument("--minutes", type=float, default=0.0, help="read on; default 0")
    parser.add_argument("--batches", type=int, default=20, help="a round; default 20")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--workers", type=int, default=2, help="of the loader; default 2")
    args = parser.parse_args()
    pin(args.threads)  # before these start theirs
    import numpy as np

    from sep.data import pipeline
    from sep.runtime.settings import changed
    from sep.training.settings import RunSettings

    run = changed(RunSettings(), {"data.workers": args.workers})
    data, rate, crop = run.data, run.model.sample_rate, run.crop_length
    room_length = round(data.room_seconds * rate)
    decay_L = np.exp(-6.9 * np.arange(room_length) / room_length)
    rooms_RL = decay_L * np.random.default_rng(0).normal(0, 0.1, (args.rooms, room_length))
    with contextlib.ExitStack() as stack:
        if args.data:
            found = stems_of(args.data / "train", run)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            found = noise(Path(folder), args.hours, rate)
        step = training_step(run, found, rooms_RL.astype(np.float32))
        endless = pipeline.batches(
            found, run.model.outputs, data, crop=crop, seed=1, first_step=0
        )
        seconds = {"loader": [], "step": [], "mixing": []}
        for round_number in range(args.rounds + 1):  # the first compiles and warms up
            deque(itertools.islice(endless, args.workers + 1), maxlen=0)  # made in the step
            start = time.perf_counter()
            (batch_BSCT,) = deque(itertools.islice(endless, args.batches), maxlen=1)
            took = {"loader": (time.perf_counter() - start) / args.batches}
            took |= step(batch_BSCT)
            if round_number:
                for what, value in took.items():
                    seconds[what].append(value)
        medians = {what: statistics.median(values) for what, values in seconds.items()}
        audio = data.batch_size * data.crop_seconds
        print(f"batches of {audio:g} s of {len(found.solos)} sources")
        for what, median in medians.items():
            print(f"{what:<8}{median * 1000:9.1f} ms{audio / median:10.0f} s of audio a s")
        result = {
            "ratio": round(medians["step"] / medians["loader"], 2),
            "mixing_share": round(medians["mixing"] / medians["step"], 3),
        }
        if args.minutes:
            result["growth_mib"] = round(growth(endless, args.minutes), 1)
    print(json.dumps(result))


def noise(folder: Path, hours: float, rate: int):
    """Stems of noise, two minutes each, half of them in pairs."""
    import numpy as np

    from sep.data.stems import Stem, Stems, activity

    random, count = np.random.default_rng(0), max(1, round(hours * 30))

    def stem(name: str) -> Stem:
        wave_CT = random.standard_normal((2, 120 * rate), np.float32) * np.float32(0.1)
        np.save(folder / f"{name}.npy", wave_CT.astype(np.float16))
        return Stem(folder / f"{name}.npy", wave_CT.shape[1], activity(wave_CT))

    solos = {
        name: [stem(f"{name}{i}") for i in range(count)] for name in ("piano", "violin")
    }
    pairs = zip(solos["piano"], solos["violin"], strict=True)
    tracks = [{"piano": piano, "violin": violin} for piano, violin in pairs]
    return Stems(solos, tracks[: count // 2])


def stems_of(folder: Path, run):
    """The stems of a split, as training gets them."""
    from sep.data import stems

    return stems.load(
        folder,
        run.model.outputs,
        run.model.sample_rate,
        run.data.cache,
        strict=run.data.strict,
        missing_is_silence=run.data.missing_is_silence,
    )


def training_step(run, stems, rooms_RL):
    """A function of a batch that gives the seconds of a training step and of mixing."""
    import jax
    import jax.numpy as jnp

    from sep.data import pipeline
    from sep.model.separator import build
    from sep.training.step import init_state, make_optimiser, make_train_step, mix_of

    key, size = jax.random.key(0), run.data.batch_size
    separator, optimiser = build(run.model), make_optimiser(run.train)
    mix = jax.jit(mix_of(run))
    example_BSCT = pipeline.fixed_crops(
        stems, run.model.outputs, run.data, count=size, crop=run.crop_length, seed=0
    )
    example_BCT, _ = mix(key, jnp.arange(size), example_BSCT, rooms_RL)
    states = [init_state(key, separator, example_BCT, optimiser)]
    step = make_train_step(separator, optimiser, run.train, mix_of(run))

    def seconds(batch_BSCT) -> dict[str, float]:
        start = time.perf_counter()
        state, metrics = step(states.pop(), batch_BSCT, rooms_RL)
        float(metrics["loss"])
        stepped = time.perf_counter()
        states.append(state)
        jax.block_until_ready(mix(key, jnp.arange(size), batch_BSCT, rooms_RL))
        return {"step": stepped - start, "mixing": time.perf_counter() - stepped}

    return seconds


def growth(endless, minutes: float) -> float:
    """MiB by which this process grows while it reads on, told every minute."""
    first, start, told = resident(), time.monotonic(), 0
    for _ in endless:
        passed = (time.monotonic() - start) / 60
        if passed > told:
            print(f"{passed:6.1f} min {resident():9.1f} MiB", flush=True)
            told += 1
        if passed > minutes:
            return resident() - first
    raise AssertionError("batches never end")


def resident() -> float:
    """Memory of this process that is its own, in MiB; mapped files are not."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no RssAnon")


if __name__ == "__main__":
    main()
