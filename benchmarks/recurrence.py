"""Times Sep's bidirectional LSTM layer against Flax's, forward and with its gradient.

  .venv-bench/bin/python benchmarks/recurrence.py      (after `make bench-env`)

Both layers have parameters of the same sizes, are jitted, and run in turn in every round.
The last line is JSON: `ratio` is Flax's median time over Sep's, for the gradient.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from threads import pin

if TYPE_CHECKING:
    import jax

# By name: functions of (parameters, inputs), and the parameters.
Layers = dict[str, tuple[dict[str, Callable[..., Any]], Any]]


def main() -> None:
    """Prints the table and the line of JSON."""
    args = parse_args()
    pin(args.threads)  # before the imports below, because libraries start their threads
    import jax

    shape = args.batch, args.frames, args.features
    inputs_BNF = jax.random.normal(jax.random.key(0), shape)
    medians = measure(make_layers(args, inputs_BNF), inputs_BNF, args.rounds)
    for (what, layer), median in sorted(medians.items()):
        print(f"{what:<10}{layer:<6}{median * 1000:8.1f} ms")
    ratios = {w: medians[w, "flax"] / medians[w, "sep"] for w in ("forward", "gradient")}
    print(json.dumps({"ratio": ratios["gradient"], "ratio_forward": ratios["forward"]}))


def parse_args() -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        *(("batch", 16), ("frames", 260), ("features", 512), ("hidden", 256)),
        *(("rounds", 7), ("threads", 2)),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=default, help=f"default {default}"
        )
    return parser.parse_args()


def make_layers(args: argparse.Namespace, inputs_BNF: "jax.Array") -> Layers:
    """Builds Sep's layer and Flax's."""
    import flax.linen as nn
    import jax

    from sep.model.architectures.recurrence import bilstm, init_bilstm

    def cells() -> nn.RNN:
        return nn.RNN(nn.OptimizedLSTMCell(args.hidden))

    def jitted(layer: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
        def loss(params: Any, inputs_BNF: "jax.Array") -> "jax.Array":
            return (layer(params, inputs_BNF) ** 2).mean()

        return {"forward": jax.jit(layer), "gradient": jax.jit(jax.grad(loss, (0, 1)))}

    key, peer = jax.random.key(1), nn.Bidirectional(cells(), cells())
    return {
        "sep": (jitted(bilstm), init_bilstm(key, args.features, args.hidden)),
        "flax": (jitted(peer.apply), peer.init(key, inputs_BNF)),
    }


def measure(
    layers: Layers, inputs_BNF: "jax.Array", rounds: int
) -> dict[tuple[str, str], float]:
    """Median seconds of a call by ("forward" or "gradient", layer)."""
    times: dict[tuple[str, str], list[float]] = {}
    for round_number in range(rounds + 1):  # the first one compiles and is not timed
        for name, (functions, params) in layers.items():
            for what, function in functions.items():
                took = seconds(function, params, inputs_BNF)
                if round_number:
                    times.setdefault((what, name), []).append(took)
    return {key: statistics.median(values) for key, values in times.items()}


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Time of one call, until its results are ready."""
    import jax

    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
