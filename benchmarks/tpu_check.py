"""Compiles the default training step for TPUs, and lowers it for CUDA, on any machine.

libtpu compiles for a topology without a TPU. Nothing is run, and only the compiler is
timed. `make tpu-check` makes the environment and runs this:

    .venv-tpu/bin/python benchmarks/tpu_check.py --batch=16 --dft fft matrix

The batch is sharded over a ("data",) mesh of all chips; the state is on every chip. For
each program the table has the compiler's analysis of one device: memory, its count of
operations and of the bytes that they read and write, and the collectives in the compiled
text. `counted_GFLOP` is the count of `sep.training.flops` for one device, which includes
every iteration of a loop. The last line is JSON. The exit status is 1 if a program does not
compile, does not fit into a chip's memory, reduces no gradients, or communicates more than
gradients.
"""

import argparse
import importlib.util
import json
import math
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax.sharding import AbstractMesh, Mesh

MEMORY_GB = {"v5e": 16, "v6e": 32}  # of a chip, by its manufacturer; the compiler's limit
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(COLLECTIVES)})(-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+)(\d*)[a-z0-9]*\[([\d,]*)\]")


def main() -> None:
    """Compiles, lowers, prints the table and the line of JSON."""
    args = parse_args()
    if importlib.util.find_spec("libtpu") is None:
        sys.exit("libtpu is missing: run `make tpu-check`, or pip install '.[tpu]'")
    # JAX computes on the CPU; libtpu only compiles and must not look for TPUs.
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"
    os.environ["TPU_WORKER_HOSTNAMES"] = "localhost"
    os.environ["TPU_ACCELERATOR_TYPE"] = "v5litepod-8"  # any; --topologies counts
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # no chip is in use: no lock is needed
    import jax

    results = {}
    for dft in args.dft:
        results[f"cuda {dft}"] = found = lowered_for_cuda(args, dft)
        show(f"cuda, {args.devices} devices, dft={dft}", found)
        for topology in args.topologies:
            results[f"{topology} {dft}"] = found = compiled(args, topology, dft)
            show(f"{topology}, dft={dft}", found)
    settings = {**vars(args), "jax": jax.__version__}
    print("\n" + json.dumps({"benchmark": "tpu_check", **results, "settings": settings}))
    if faults := [fault for found in results.values() if (fault := found.get("fault"))]:
        sys.exit("\n".join(faults))


def parse_args() -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--topologies", nargs="*", default=["v5e:2x4", "v6e:2x4"], metavar="NAME:SHAPE"
    )
    parser.add_argument(
        "--dft",
        nargs="+",
        default=["fft"],
        choices=["fft", "matrix"],
        help="forms of the spectrogram's transform; default fft",
    )
    parser.add_argument(
        "--batch", type=int, default=16, help="examples on a device; default 16"
    )
    parser.add_argument(
        "--rooms", type=int, default=60, help="impulse responses; default 60, as make data"
    )
    parser.add_argument(
        "--devices", type=int, default=8, help="devices for CUDA; default 8"
    )
    args = parser.parse_args()
    if min(args.batch, args.rooms, args.devices) < 1:
        parser.error("--batch, --rooms and --devices must be at least 1")
    return args


def training_step(
    args: argparse.Namespace, dft: str, mesh: "Mesh | AbstractMesh"
) -> tuple[Any, tuple[Any, ...]]:
    """The jitted step of the default config, and the shapes and shardings it takes."""
    import jax
    import jax.numpy as jnp

    from sep.model.separator import build
    from sep.runtime.settings import changed
    from sep.training import devices
    from sep.training.settings import RunSettings
    from sep.training.step import (
        State,
        init_state,
        make_optimiser,
        make_train_step,
        mix_of,
    )

    run = RunSettings()
    if hasattr(run.model.representation_settings, "dft"):
        run = changed(run, {f"model.{run.model.representation}.dft": dft})
    channels, room = run.data.channels, round(run.data.room_seconds * run.model.sample_rate)
    batch, sources = args.batch * mesh.size, len(run.model.outputs)
    separator, optimiser = build(run.model), make_optimiser(run.train)

    def initial(mixture_BCT: jax.Array) -> State:
        return init_state(jax.random.key(0), separator, mixture_BCT, optimiser)

    def put(tree: Any, sharding: jax.sharding.Sharding) -> Any:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    def floats(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    state = jax.eval_shape(initial, floats(batch, channels, run.crop_length))
    stems_BSCT = floats(batch, sources, channels, run.crop_length)
    everywhere = devices.everywhere(mesh)
    arguments = (
        put(state, everywhere),
        put(stems_BSCT, devices.by_rows(mesh)),
        put(floats(args.rooms, room), everywhere),
    )
    return make_train_step(separator, optimiser, run.train, mix_of(run), mesh), arguments


def lowered_for_cuda(args: argparse.Namespace, dft: str) -> dict[str, Any]:
    """Lowers the step for GPUs; compiling it would need a GPU."""
    from jax.sharding import AbstractMesh, AxisType

    mesh = AbstractMesh((args.devices,), ("data",), axis_types=(AxisType.Auto,))
    step, arguments = training_step(args, dft, mesh)
    start = time.perf_counter()
    text = step.trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
    seconds = time.perf_counter() - start
    return {
        "lower_seconds": round(seconds, 1),
        "partitions": int(re.search(r"num_partitions = (\d+)", text)[1]),
        "sharded_arrays": text.count('[{"data"}'),
        "text_MB": round(len(text) / 1e6, 1),
        "operations": text.count(" = "),
    }


def compiled(args: argparse.Namespace, topology: str, dft: str) -> dict[str, Any]:
    """Compiles the step for all chips of a topology; returns the compiler's analysis."""
    import jax
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import AxisType, Mesh

    from sep.training import flops

    try:
        chips = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        sys.exit(f"--topologies: {topology}: {first_line(error)}")
    mesh = Mesh(np.array(chips.devices), ("data",), axis_types=(AxisType.Auto,))
    step, arguments = training_step(args, dft, mesh)
    counted = flops.flops(step, *arguments) / mesh.size
    start = time.perf_counter()
    lowered = step.trace(*arguments).lower(lowering_platforms=("tpu",))
    traced = time.perf_counter()
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:  # most often out of memory
        return {"fault": f"{topology}, dft={dft}: {first_line(error)}"}
    found = {
        "lower_seconds": round(traced - start, 1),
        "compile_seconds": round(time.perf_counter() - traced, 1),
        **memory(program.memory_analysis()),
        **operations(program.cost_analysis()),
        "counted_GFLOP": round(counted / 1e9, 1),
        "collectives": collectives(program.as_text()),
    }
    if fault := fault_of(found, topology, mesh.size):
        found["fault"] = f"{topology}: {fault}"
    return found


def fault_of(found: Mapping[str, Any], topology: str, chips: int) -> str:
    """Description of a fault in the analysis of a program; empty if there is none."""
    limit = MEMORY_GB.get(topology.split(":")[0], math.inf)
    if others := sorted(found["collectives"].keys() - {"all-reduce"}):
        return f"chips communicate more than gradients ({', '.join(others)})"
    if chips > 1 and "all-reduce" not in found["collectives"]:
        return "gradients are not reduced over the chips"
    if found["peak_MB"] > 1000 * limit:
        return f"needs more than the {limit} GB of a chip; lower --batch"
    return ""


def memory(analysis: Any) -> dict[str, float]:
    """Memory of one device in MB; donated arguments and their outputs count once."""
    parts = {
        "arguments": analysis.argument_size_in_bytes,
        "outputs": analysis.output_size_in_bytes,
        "in_place": analysis.alias_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "program": analysis.generated_code_size_in_bytes,
    }
    peak = sum(parts.values()) - 2 * parts["in_place"]
    megabytes = {f"{name}_MB": round(size / 1e6, 1) for name, size in parts.items()}
    return {**megabytes, "peak_MB": round(peak / 1e6, 1)}


def operations(analysis: Mapping[str, float]) -> dict[str, float]:
    """The compiler's count of operations and bytes for one device."""
    return {
        "GFLOP": round(analysis.get("flops", math.nan) / 1e9, 1),
        "accessed_GB": round(analysis.get("bytes accessed", math.nan) / 1e9, 2),
    }


def collectives(text: str) -> dict[str, dict[str, float]]:
    """Count and bytes by kind of collective in the text of a compiled program (HLO).

    Bytes are those of the results, without padding. An asynchronous collective is counted
    where it starts. One in a loop counts once.
    """
    found: dict[str, dict[str, float]] = {}
    for result, kind, started in _COLLECTIVE.findall(text):
        sizes = array_bytes(result)
        if started and kind != "all-reduce":  # (operands, results, flags of 4 bytes)
            sizes = [size for size in sizes if size > 4]
            sizes = sizes[len(sizes) // 2 :]
        entry = found.setdefault(kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += sum(sizes)
    return found


def array_bytes(shape: str) -> list[int]:
    """Bytes of each array in the text of a shape, `(f32[2,3]{1,0:T(8,128)}, bf16[])`."""
    bits = {"pred": 8, "token": 0, "opaque": 0}
    return [
        math.prod(int(n) for n in dimensions.split(",") if n)
        * (int(width) if width else bits[kind])
        // 8
        for kind, width, dimensions in _ARRAY.findall(shape)
    ]


def first_line(error: Exception) -> str:
    """First line of a compiler's error."""
    return str(error).strip().split("\n")[0][:300]


def show(title: str, found: Mapping[str, Any]) -> None:
    """Prints the analysis of a program, a line for each value."""
    print(f"\n{title}", flush=True)
    for name, value in found.items():
        if name == "collectives":
            for kind, entry in value.items():
                size = entry["bytes"] / 1e6
                print(f"  {kind:18}{entry['count']:12} of {size:.2f} MB in all")
        else:
            print(f"  {name:18}{value:>12}", flush=True)


if __name__ == "__main__":
    main()
