"""Times the loader against the training step that consumes its batches.

  .venv-bench/bin/python benchmarks/data.py --data=DATA          (after `make bench-env`)
  .venv-bench/bin/python benchmarks/data.py --minutes=30         is its memory flat?

Without --data the stems are noise in a temporary folder: --hours of each source, half of
them as tracks. Loader and step use the base config (except --workers) on the same
processors, one after the other in every round. The loader is timed after the batches that
it prefetched are used up.

The last line is JSON. `ratio` is the audio per second that the loader delivers over that
which the training step of the lstm consumes, mixing included; `mixing_share` is the share
of mixing in the step. With --minutes the loader reads on for this time, and `growth_mib` is
the growth of its process.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from threads import pin

if TYPE_CHECKING:
    import numpy as np

    from sep.data.stems import Stems
    from sep.training.settings import RunSettings


def main() -> None:
    """Prints the table and the line of JSON."""
    args = parse_args()
    pin(args.threads)  # before the imports below, because libraries start their threads
    from sep.data import pipeline
    from sep.runtime.settings import changed
    from sep.training.settings import RunSettings

    run = changed(RunSettings(), {"data.workers": args.workers})
    with contextlib.ExitStack() as stack:
        if args.data:
            stems = stems_of(args.data / "train", run)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stems = noise(Path(folder), args.hours, run.model.sample_rate)
        step = training_step(run, stems, noise_rooms(args.rooms, run))
        batches = pipeline.batches(
            stems, run.model.outputs, run.data, crop=run.crop_length, seed=1, first_step=0
        )
        medians = measure(batches, step, args)
        audio = run.data.batch_size * run.data.crop_seconds
        print(f"batches of {audio:g} s of {len(stems.solos)} sources")
        for name, median in medians.items():
            print(f"{name:<8}{median * 1000:9.1f} ms{audio / median:10.0f} s of audio a s")
        result = {
            "ratio": round(medians["step"] / medians["loader"], 2),
            "mixing_share": round(medians["mixing"] / medians["step"], 3),
        }
        if args.minutes:
            result["growth_mib"] = round(growth(batches, args.minutes), 1)
    print(json.dumps(result))


def parse_args() -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of stems, DATA/train/...")
    add("--hours", type=float, default=1.0, help="hours of noise; default 1")
    add("--rooms", type=int, default=20, help="impulse responses of noise; default 20")
    add("--minutes", type=float, default=0.0, help="minutes to read on; default 0")
    add("--batches", type=int, default=20, help="batches in a round; default 20")
    add("--rounds", type=int, default=5, help="default 5")
    add("--threads", type=int, default=2, help="default 2")
    add("--workers", type=int, default=2, help="threads of the loader; default 2")
    return parser.parse_args()


def measure(
    batches: Iterator["np.ndarray"],
    step: Callable[["np.ndarray"], dict[str, float]],
    args: argparse.Namespace,
) -> dict[str, float]:
    """Median seconds of a batch by "loader", "step" and "mixing"."""
    seconds: dict[str, list[float]] = {"loader": [], "step": [], "mixing": []}
    for round_number in range(args.rounds + 1):  # the first one compiles and is not timed
        # Batches that were prefetched during the step.
        deque(itertools.islice(batches, args.workers + 1), maxlen=0)
        start = time.perf_counter()
        (batch_BSCT,) = deque(itertools.islice(batches, args.batches), maxlen=1)
        took = {"loader": (time.perf_counter() - start) / args.batches}
        took |= step(batch_BSCT)
        if round_number:
            for name, value in took.items():
                seconds[name].append(value)
    return {name: statistics.median(values) for name, values in seconds.items()}


def noise(folder: Path, hours: float, rate: int) -> "Stems":
    """Writes stems of noise, two minutes each; half of them belong to tracks."""
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


def noise_rooms(count: int, run: "RunSettings") -> "np.ndarray":
    """Impulse responses (R, L) of decaying noise."""
    import numpy as np

    length = round(run.data.room_seconds * run.model.sample_rate)
    decay_L = np.exp(-6.9 * np.arange(length) / length)
    rooms_RL = decay_L * np.random.default_rng(0).normal(0, 0.1, (count, length))
    return rooms_RL.astype(np.float32)


def stems_of(folder: Path, run: "RunSettings") -> "Stems":
    """Loads the stems of a split as training does."""
    from sep.data import stems

    return stems.load(
        folder,
        run.model.outputs,
        run.model.sample_rate,
        run.data.cache,
        strict=run.data.strict,
        missing_is_silence=run.data.missing_is_silence,
    )


def training_step(
    run: "RunSettings", stems: "Stems", rooms_RL: "np.ndarray"
) -> Callable[["np.ndarray"], dict[str, float]]:
    """Builds the training step.

    Returns:
      A function that takes a batch (B, S, C, T) and returns the seconds of a training step
      and of mixing alone.
    """
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

    def seconds(batch_BSCT: "np.ndarray") -> dict[str, float]:
        start = time.perf_counter()
        state, metrics = step(states.pop(), batch_BSCT, rooms_RL)
        float(metrics["loss"])
        stepped = time.perf_counter()
        states.append(state)
        jax.block_until_ready(mix(key, jnp.arange(size), batch_BSCT, rooms_RL))
        return {"step": stepped - start, "mixing": time.perf_counter() - stepped}

    return seconds


def growth(batches: Iterator["np.ndarray"], minutes: float) -> float:
    """Growth of this process in MiB while it reads on; prints its size every minute."""
    first, start, printed = resident(), time.monotonic(), 0
    for _ in batches:
        passed = (time.monotonic() - start) / 60
        if passed > printed:
            print(f"{passed:6.1f} min {resident():9.1f} MiB", flush=True)
            printed += 1
        if passed > minutes:
            return resident() - first
    raise AssertionError("batches never end")


def resident() -> float:
    """Anonymous memory of this process in MiB; mapped files do not count.

    Raises:
      OSError: the system does not report it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no RssAnon")


if __name__ == "__main__":
    main()
