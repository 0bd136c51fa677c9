"""Times our bidirectional LSTM layer against Flax's, forward and with its gradient.

  .venv-bench/bin/python benchmarks/recurrence.py      (after `make bench-env`)

Both hold parameters of the same sizes, are jitted, and run in turn, round by round. The
last line is JSON: `ratio` is Flax's median time over ours, for the gradient.
"""

import argparse
import json
import statistics
import time

from threads import pin


def seconds(function, *arguments) -> float:
    """Time of one call, results ready."""
    import jax

    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def main() -> None:
    """Prints the table and the line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        ("batch", 16),
        ("frames", 260),
        ("features", 512),
        ("hidden", 256),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=default, help=f"default {default}"
        )
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    sizes = parser.parse_args()
    pin(sizes.threads)  # before these start theirs
    import flax.linen as nn
    import jax

    from sep.model.architectures.recurrence import bilstm, init_bilstm

    def cells():
        return nn.RNN(nn.OptimizedLSTMCell(sizes.hidden))

    inputs = jax.random.normal(
        jax.random.key(0), (sizes.batch, sizes.frames, sizes.features)
    )
    peer = nn.Bidirectional(cells(), cells())
    ours, theirs = (
        init_bilstm(jax.random.key(1), sizes.features, sizes.hidden),
        peer.init(jax.random.key(1), inputs),
    )

    def timed(layer):
        return {
            "forward": jax.jit(layer),
            "gradient": jax.jit(jax.grad(lambda p, x: (layer(p, x) ** 2).mean(), (0, 1))),
        }

    parties = {"sep": (timed(bilstm), ours), "flax": (timed(peer.apply), theirs)}
    times: dict = {}
    for round_number in range(sizes.rounds + 1):  # the first compiles
        for party, (functions, params) in parties.items():
            for what, function in functions.items():
                took = seconds(function, params, inputs)
                if round_number:
                    times.setdefault((what, party), []).append(took)
    medians = {key: statistics.median(values) for key, values in times.items()}
    for (what, party), median in sorted(medians.items()):
        print(f"{what:<10}{party:<6}{median * 1000:8.1f} ms")
    ratios = {w: medians[w, "flax"] / medians[w, "sep"] for w in ("forward", "gradient")}
    print(json.dumps({"ratio": ratios["gradient"], "ratio_forward": ratios["forward"]}))


if __name__ == "__main__":
    main()
