"""Times BSS Eval v4 of a stereo track with two sources against the reference tools.

  make bench-env
  .venv-bench/bin/python benchmarks/metrics.py [--seconds=180] [--rounds=3]

The track is the example, repeated, with each stem leaking into the other. All tools get
the same float64 arrays and the same number of threads. They run in turn in every round, so
that other load affects all equally; the result is the median. The first call, which
compiles, is reported separately. museval does the same work as Sep: one set of filters,
windows of 1 s, SDR, ISR, SIR and SAR. fast_bss_eval does less: no windows, no ISR, one
channel at a time.

The last line is JSON: its "ratio" is museval's time over Sep's.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median

from bss_eval_vectors import ROOT, museval_metrics, restore_numpy_1_solve
from threads import pin

RATE = 44100


def main() -> None:
    """Times all tools and prints the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("seconds", 180), ("rounds", 3), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    pin(args.threads)  # before the imports below, because libraries start their threads
    try:
        tools = make_tools(args.seconds)
    except ModuleNotFoundError as error:
        cure = "run `make bench-env`, then use .venv-bench/bin/python"
        sys.exit(f"{error.name} is missing: {cure}")
    began = time.perf_counter()
    ours = tools["sep"]()
    first = time.perf_counter() - began
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for _ in range(args.rounds):
        for name, score in tools.items():
            began = time.perf_counter()
            found = score()
            seconds[name].append(time.perf_counter() - began)
            if name == "museval":
                theirs = found
    distance = max(abs(a - b).max() for a, b in zip(ours, theirs, strict=True))
    times = {name: median(each) for name, each in seconds.items()}
    print(f"{args.seconds} s, stereo, two sources; {args.threads} threads\n")
    for name, each in seconds.items():
        shown = ", ".join(f"{one:.2f}" for one in each)
        print(f"{name:15}{times[name]:8.2f} s  ({shown})")
    print(
        f"\nfirst call, with compilation: {first:.2f} s; largest difference from museval: "
        f"{distance:.1e} dB"
    )
    result = {
        "benchmark": "metrics",
        "ratio": round(times["museval"] / times["sep"], 2),
        "fast_bss_eval_ratio": round(times["fast_bss_eval"] / times["sep"], 2),
        "seconds": {name: round(each, 3) for name, each in times.items()},
        "distance_dB": float(f"{distance:.2g}"),
        "settings": vars(args),
        "versions": {p: version(p) for p in ("jax", "museval", "fast_bss_eval", "numpy")},
    }
    print("\n" + json.dumps(result))


def make_tools(seconds: int) -> dict[str, Callable]:
    """Functions by tool that return SDR, ISR, SIR and SAR of the same track.

    Args:
      seconds: length of the track.
    """
    import fast_bss_eval
    import numpy as np

    from sep import audio
    from sep.evaluation.bss_eval import bss_eval

    museval = museval_metrics()
    restore_numpy_1_solve()
    stems = [
        audio.read(ROOT / "examples" / "duet" / f"{name}.flac")[0]
        for name in ("piano", "violin")
    ]
    once_SCT = np.stack(stems).astype(np.float64)
    repeats = -(-seconds * RATE // once_SCT.shape[-1])
    references_SCT = np.tile(once_SCT, (1, 1, repeats))[..., : seconds * RATE]
    noise_SCT = np.random.default_rng(0).standard_normal(references_SCT.shape)
    estimates_SCT = references_SCT + 0.1 * references_SCT[::-1] + 1e-3 * noise_SCT
    swapped = [
        np.ascontiguousarray(x.swapaxes(1, 2)) for x in (references_SCT, estimates_SCT)
    ]
    by_channel = [  # (S, T) of references and of estimates
        [x[:, channel].copy() for x in (references_SCT, estimates_SCT)]
        for channel in range(references_SCT.shape[1])
    ]
    return {
        "sep": lambda: bss_eval(references_SCT, estimates_SCT, window=RATE),
        "museval": lambda: museval.bss_eval(*swapped, window=RATE, hop=RATE)[:4],
        "fast_bss_eval": lambda: [
            fast_bss_eval.bss_eval_sources(*waves, compute_permutation=False)
            for waves in by_channel
        ],
    }


if __name__ == "__main__":
    main()
