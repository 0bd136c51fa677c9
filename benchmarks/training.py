"""Times a training step of Sep against the same networks in PyTorch, on the CPU.

  .venv-bench/bin/python benchmarks/training.py                  (after `make bench-env`)
  .venv-bench/bin/python benchmarks/training.py --profile        with parts of Sep's step

There are two comparisons, with equal batches, crops and threads. All parties run in turn in
every round, after everything is compiled. Both sides have their batch in memory and compute
network, loss, gradient and Adam.

`lstm_ratio`: Open-Unmix itself (Stöter et al. 2019), one target in mono, with its own
transform and the steps of its scripts/train.py, against `openunmix` on `magnitude` with one
source and Open-Unmix's sizes: three layers of 256 cells per direction, dropout, every bin.
Sep's side is the whole training step without augmentation. In addition to what Open-Unmix
does, it sets levels, converts estimates to waves for its loss, clips gradients and averages
parameters. (A single source equals its mixture: nothing is learnt, but everything is
computed.)

`default_ratio`: the training step of the base config, without augmentation, against a port
of the same separator to PyTorch (ported.py). The port lacks Sep's average of parameters,
schedule, and check for infinite gradients. Before the timing it gets Sep's parameters, and
must compute the same waves, loss and norm of the gradient.

Ratios are Sep's throughput over the peer's: above 1, Sep is faster. `mfu` is the work of
the default step (`sep.training.flops`) per second, over that of the fastest product of
square float32 matrices by JAX or PyTorch on this machine. `compile_seconds` is for the
default step with augmentation, in two new processes: without JAX's cache, and with the
cache that the first one filled. The last line is JSON. The exit status is 1 if the default
separator has no port, or the port's results differ.

Use an idle machine: PyTorch's threads wait for each other in busy loops, and if other work
takes their processors for a moment, its LSTM can be ten times as slow. `others` is the
share of the processors' time that other processes used; above 0.05, ratios mean little.
"""

import argparse
import concurrent.futures
import importlib.util
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from threads import pin

if TYPE_CHECKING:
    import jax
    import numpy as np
    import optax

    from sep.model.separator import Separator
    from sep.training.settings import RunSettings
    from sep.training.step import State, TrainStep

AUGMENTATION = (  # strengths in `DataSettings`
    ("gain_db", "level_db", "polarity", "absent", "equaliser_db", "band_limit", "room")
    + ("swap", "pan", "width", "noise", "clip")
)
ROOMS = 60  # impulse responses, as `make data` makes
SIDES = (512, 1024, 2048)  # of square matrices
TOLERANCE = 1e-3  # relative error of the port
WHOLE = (  # the parts that add up to a step
    ("mixing", "transform to features", "network, gradient")
    + ("masks to loss, gradient", "optimiser, average")
)


class Step(NamedTuple):
    """Sep's training step, its arguments, and what it was built from."""

    run: "RunSettings"
    separator: "Separator"
    optimiser: "optax.GradientTransformation"
    step: "TrainStep"  # takes the three below
    state: "State"
    stems_BSCT: "np.ndarray"
    rooms_RL: "jax.Array"


Timed = dict[str, Callable[[], Any]]  # functions to time, by name


def main() -> None:
    """Checks the port, times all parties, prints the table and the line of JSON."""
    args = parse_args()
    pin(args.threads)  # before the imports below, because libraries start their threads
    for package in ("torch", "openunmix"):
        if importlib.util.find_spec(package) is None:
            cure = "run `make bench-env`, then use .venv-bench/bin/python"
            sys.exit(f"{package} is missing: {cure}")
    import torch

    torch.set_num_threads(args.threads)
    lstm, default = (our_step(run, args) for run in (lstm_run(), quiet(base_run())))
    augmented = our_step(base_run(), args)
    steps = {
        "lstm, torch": open_unmix_step(lstm),
        "default, torch": port_step(default),
        "lstm, sep": runner(lstm),
        "default, sep": runner(default),
        "default, sep, augmented": runner(augmented),
    }
    profiled = parts(default, augmented) if args.profile else {}
    compiling = {} if args.no_compile else compile_seconds(args)
    start, others = time.perf_counter(), others_seconds()
    seconds = measure({**steps, **profiled, **products()}, args.rounds)
    others = (others_seconds() - others) / (time.perf_counter() - start) / args.threads
    print_times(seconds, steps, profiled, args.batch * args.seconds)
    print(f"other processes had {others:.0%} of the processors' time")
    print("\n" + json.dumps(result_of(seconds, default, compiling, others, args)))


def print_times(
    seconds: dict[str, float], steps: Timed, profiled: Timed, audio: float
) -> None:
    """Prints the table.

    Args:
      seconds: by name; the sum of the parts is added.
      steps: training steps.
      profiled: parts of Sep's default step, if any.
      audio: seconds of audio in a batch.
    """
    print(f"a batch is {audio:g} s of audio; steps:")
    for name in steps:
        speed = f"{audio / seconds[name]:9.1f} s of audio a s"
        print(f"  {name:26}{seconds[name] * 1000:9.1f} ms{speed}")
    if profiled:
        ours, whole = seconds["default, sep"], "sum of these parts"
        seconds[whole] = sum(seconds[name] for name in profiled if name in WHOLE)
        print(f"parts, each compiled separately ({'; '.join(WHOLE)} make up a step):")
        for name in (*profiled, whole):
            print(f"  {name:26}{seconds[name] * 1000:9.1f} ms{seconds[name] / ours:9.0%}")


def result_of(
    seconds: dict[str, float],
    default: Step,
    compiling: dict[str, dict[str, float]],
    others: float,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Prints the work of the default step; returns the line of JSON as a dict."""
    from sep.training import flops

    ours = seconds["default, sep"]
    work = flops.flops(default.step, default.state, default.stems_BSCT, default.rooms_RL)
    speeds = {
        name: 2 * int(name.split()[-1]) ** 3 / value
        for name, value in seconds.items()
        if name.startswith("product ")
    }
    fastest, peak = max(speeds.items(), key=lambda item: item[1])
    print(f"{work / 1e9:.1f} GFLOP a default step; {fastest}: {peak / 1e9:.0f} GFLOP a s")
    return {
        "benchmark": "training",
        "lstm_ratio": round(seconds["lstm, torch"] / seconds["lstm, sep"], 3),
        "default_ratio": round(seconds["default, torch"] / ours, 3),
        "mfu": round(work / ours / peak, 3),
        **compiling,
        "others": round(others, 3),
        "step_GFLOP": round(work / 1e9, 1),
        "peak_GFLOP_a_second": round(peak / 1e9, 1),
        "seconds": {name: round(median, 4) for name, median in seconds.items()},
        "settings": vars(args),
        "versions": {name: version(name) for name in ("jax", "torch", "openunmix")},
    }


def parse_args() -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16, help="crops; default 16")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="length of a crop; default 3"
    )
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--profile", action="store_true", help="time parts of Sep's step")
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out compile_seconds"
    )
    args = parser.parse_args()
    if min(args.batch, args.rounds, args.threads) < 1 or args.seconds < 0.2:
        parser.error("--batch, --rounds, --threads: 1 or more; --seconds: 0.2 or more")
    return args


def measure(functions: Timed, rounds: int) -> dict[str, float]:
    """Median seconds of a call by name.

    The first call of each function is not timed. Every round begins with another function.
    """
    names = list(functions)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for function in functions.values():
        function()
    for i in range(rounds):
        for j in range(len(names)):
            name = names[(i + j) % len(names)]
            start = time.perf_counter()
            functions[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def others_seconds() -> float:
    """Seconds for which this process's processors have worked for other processes."""
    mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = map(str.split, Path("/proc/stat").read_text().splitlines())
    ticks = [list(map(int, fields)) for name, *fields in lines if name in mine]
    idle = 3, 4  # of user, nice, system, idle, iowait, irq, softirq, steal
    busy = sum(n for each in ticks for i, n in enumerate(each[:8]) if i not in idle)
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time()


def base_run() -> "RunSettings":
    """Settings of the default separator and its training."""
    from sep.training.settings import RunSettings

    return RunSettings()


def quiet(run: "RunSettings") -> "RunSettings":
    """The same settings without augmentation."""
    from sep.runtime.settings import as_dict, changed

    off = dict.fromkeys(as_dict(run.data.timbre_of("other")), 0.0)
    without = {f"data.{name}": 0.0 for name in AUGMENTATION}
    return changed(run, without | {"data.timbre": {"other": off}})


def lstm_run() -> "RunSettings":
    """Settings of Sep's `openunmix` with Open-Unmix's sizes."""
    from sep.runtime.settings import changed

    return changed(
        quiet(base_run()),
        {
            "model.sources": ("violin",),
            "model.residual": False,
            "model.representation": "magnitude",
            "model.magnitude.n_fft": 4096,
            "model.magnitude.hop_length": 1024,
            "model.magnitude.max_frequency": 0.0,
            "model.architecture": "openunmix",
            "model.openunmix": {"width": 512, "depth": 3, "dropout": 0.4},
        },
    )


def our_step(run: "RunSettings", args: argparse.Namespace) -> Step:
    """Builds Sep's training step on noise, with impulse responses of noise."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from sep.data import mixing
    from sep.model.separator import build
    from sep.training.step import init_state, make_optimiser, make_train_step, mix_of

    rate, random = run.model.sample_rate, np.random.default_rng(0)
    sources, channels = len(run.model.outputs), run.data.channels
    shape = args.batch, sources, channels, round(args.seconds * rate)
    stems_BSCT = 0.1 * random.standard_normal(shape, np.float32)
    length = round(run.data.room_seconds * rate)
    rooms_RL = 0.1 * random.standard_normal((ROOMS, length), np.float32)
    rooms_RL *= np.exp(-6.9 * np.arange(length, dtype=np.float32) / length)
    separator, optimiser = build(run.model), make_optimiser(run.train)
    mixture_BCT = mixing.to_reference_level(jnp.asarray(stems_BSCT)).sum(1)
    state = init_state(jax.random.key(0), separator, mixture_BCT, optimiser)
    step = make_train_step(separator, optimiser, run.train, mix_of(run))
    return Step(run, separator, optimiser, step, state, stems_BSCT, jnp.asarray(rooms_RL))


def runner(ours: Step) -> Callable[[], None]:
    """Returns a function that takes the next training step on every call."""
    import jax

    states = [fresh(ours.state)]

    def run() -> None:
        state, metrics = ours.step(states.pop(), ours.stems_BSCT, ours.rooms_RL)
        float(metrics["loss"])
        states.append(jax.block_until_ready(state))

    return run


def fresh(state: "State") -> "State":
    """Copies the state, because a step overwrites it."""
    import jax

    return jax.tree.map(lambda x: x.copy(), state)


def open_unmix_step(ours: Step) -> Callable[[], None]:
    """Builds Open-Unmix's training step, as in its scripts/train.py, on the same waves."""
    import torch

    # Open-Unmix imports torchaudio to open files, which is not needed here.
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    from openunmix import model, transforms

    magnitude = ours.run.model.representation_settings
    lstm = ours.run.model.architecture_settings
    stft, _ = transforms.make_filterbanks(magnitude.n_fft, magnitude.hop_length)
    encoder = torch.nn.Sequential(stft, model.ComplexNorm(mono=True))
    mixture_BCT = torch.from_numpy(ours.stems_BSCT.sum(1))
    target_BCT = torch.from_numpy(ours.stems_BSCT[:, 0])
    magnitudes_BCFN = encoder(mixture_BCT)
    unmix = model.OpenUnmix(
        nb_bins=magnitude.n_fft // 2 + 1,
        nb_channels=1,
        hidden_size=lstm.width,
        nb_layers=lstm.depth,
        input_mean=magnitudes_BCFN.mean((0, 1, 3)).numpy(),
        input_scale=magnitudes_BCFN.std((0, 1, 3)).numpy(),
    )
    optimiser = torch.optim.Adam(unmix.parameters(), lr=0.001, weight_decay=0.00001)
    unmix.train()

    def run() -> None:
        optimiser.zero_grad()
        estimates_BCFN = unmix(encoder(mixture_BCT))
        loss = torch.nn.functional.mse_loss(estimates_BCFN, encoder(target_BCT))
        loss.backward()
        optimiser.step()
        loss.item()

    return run


def port_step(ours: Step) -> Callable[[], Any]:
    """Builds the training step of the port, and compares its results with Sep's.

    Exits with a message if there is no port, or if results differ.
    """
    import numpy as np
    import ported
    import torch

    from sep.data import mixing

    model, train = ours.run.model, ours.run.train
    pair = f"{model.architecture} on {model.representation}"
    if pair not in ported.PORTS or train.loss != "snr" or train.accumulate != 1:
        sys.exit(f"{pair}, loss {train.loss}: there is no port to PyTorch; see ported.py")
    sources_BSCT = np.array(mixing.to_reference_level(ours.stems_BSCT))
    mixture_BCT = sources_BSCT.sum(1)
    port = ported.PORTS[pair](model, ours.state.params, sources_BSCT.shape[1])
    waves, mixture = torch.from_numpy(sources_BSCT), torch.from_numpy(mixture_BCT)
    adam = torch.optim.Adam(port.parameters(), lr=train.learning_rate, fused=True)

    def run() -> tuple[float, float]:
        adam.zero_grad()
        loss = ported.snr(waves, port(mixture))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(port.parameters(), train.clip_norm)
        adam.step()
        return loss.item(), norm.item()

    with torch.no_grad():
        theirs_BSCT = port(mixture).numpy()
    ours_BSCT = ours.separator.apply({"params": ours.state.params}, mixture_BCT)
    _, metrics = ours.step(fresh(ours.state), ours.stems_BSCT, ours.rooms_RL)
    loss, norm = run()
    errors = {
        "waves": np.linalg.norm(theirs_BSCT - ours_BSCT) / np.linalg.norm(ours_BSCT),
        "loss": abs(loss / float(metrics["loss"]) - 1),
        "gradient": abs(norm / float(metrics["gradient_norm"]) - 1),
    }
    shown = ", ".join(f"{name} {error:.0e}" for name, error in errors.items())
    if not all(error < TOLERANCE for error in errors.values()):  # also refuses NaN
        sys.exit(f"the port of {pair} to PyTorch differs; relative errors: {shown}")
    print(f"the port of {pair} to PyTorch agrees; relative errors: {shown}")
    return run


def products() -> Timed:
    """Products of square float32 matrices, named by library and size."""
    import jax
    import numpy as np
    import torch

    multiply = jax.jit(jax.numpy.matmul)
    found: Timed = {}
    for side in SIDES:  # the last word of a name is the size
        matrix = np.random.default_rng(0).standard_normal((side, side), np.float32)
        ours, theirs = jax.device_put(matrix), torch.from_numpy(matrix)
        found[f"product by jax of {side}"] = lambda x=ours: multiply(
            x, x
        ).block_until_ready()
        found[f"product by torch of {side}"] = lambda x=theirs: x @ x
    return found


def parts(default: Step, augmented: Step) -> Timed:
    """Parts of Sep's default step, each compiled separately."""
    import jax
    import jax.numpy as jnp
    import optax
    from jax import Array

    from sep.model.consistency import share_rest
    from sep.training.losses import LOSSES
    from sep.training.settings import RunSettings
    from sep.training.step import mix_of

    separator, loss_of = default.separator, LOSSES[default.run.train.loss]
    params, opt_state = default.state.params, default.state.opt_state
    representation, network = separator.representation, separator.architecture
    key, index_B = jax.random.key(0), jnp.arange(len(default.stems_BSCT))

    def mix(run: RunSettings, stems_BSCT: Array, rooms_RL: Array) -> tuple[Array, Array]:
        return mix_of(run)(key, index_B, stems_BSCT, rooms_RL)

    def estimate(weights: Any, features_BNFK: Array) -> Array:
        settings = {"num_sources": separator.num_sources}
        settings |= {"num_outputs": representation.outputs, "rngs": {"dropout": key}}
        return network.apply({"params": weights}, features_BNFK, **settings)

    def gradient_of(weights: Any, features_BNFK: Array) -> Any:
        estimates_BNFSK, backward = jax.vjp(estimate, weights, features_BNFK)
        return backward(estimates_BNFSK)

    def loss(
        estimates_BNFSK: Array, context: Any, mixture_BCT: Array, sources_BSCT: Array
    ) -> Array:
        length = mixture_BCT.shape[-1]
        waves_BSCT = representation.synthesise(estimates_BNFSK, context, length)
        return loss_of(sources_BSCT, share_rest(mixture_BCT, waves_BSCT))

    def optimise(gradient: Any, opt_state: Any, params: Any, ema: Any) -> tuple:
        updates, opt_state = default.optimiser.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        return opt_state, params, optax.incremental_update(params, ema, 0.01)

    waves = default.stems_BSCT, default.rooms_RL
    mixture_BCT, sources_BSCT = jax.jit(partial(mix, default.run))(*waves)
    features_BNFK, context = jax.jit(representation.analyse)(mixture_BCT)
    features_BNFK = (features_BNFK - features_BNFK.mean()) / features_BNFK.std()
    network_arguments = params["architecture"], features_BNFK
    estimates_BNFSK = jax.jit(estimate)(*network_arguments)
    loss_arguments = estimates_BNFSK, context, mixture_BCT, sources_BSCT
    return {
        "mixing, augmented": ready(partial(mix, augmented.run), *waves),
        "mixing": ready(partial(mix, default.run), *waves),
        "transform to features": ready(representation.analyse, mixture_BCT),
        "network": ready(estimate, *network_arguments),
        "network, gradient": ready(gradient_of, *network_arguments),
        "masks to loss": ready(loss, *loss_arguments),
        "masks to loss, gradient": ready(jax.value_and_grad(loss), *loss_arguments),
        "optimiser, average": ready(optimise, params, opt_state, params, params),
    }


def ready(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Returns a compiled call that waits for its result."""
    import jax

    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def compile_seconds(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds to compile the default step with augmentation, with and without cache."""
    spawn = multiprocessing.get_context("spawn")
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder  # for processes started below
        for cache in ("cold", "warm"):
            with concurrent.futures.ProcessPoolExecutor(1, spawn) as pool:
                found[cache] = round(pool.submit(compile_default, args).result(), 2)
    del os.environ["JAX_COMPILATION_CACHE_DIR"]
    return {"compile_seconds": found}


def compile_default(args: argparse.Namespace) -> float:
    """Seconds to trace and compile the default step in this process."""
    from sep.runtime.cache import remember_compilations

    remember_compilations()
    ours = our_step(base_run(), args)
    start = time.perf_counter()
    ours.step.lower(ours.state, ours.stems_BSCT, ours.rooms_RL).compile()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
