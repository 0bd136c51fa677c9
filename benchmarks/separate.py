"""Times separate.py against Open-Unmix and HTDemucs on one file, on the CPU.

  .venv-bench/bin/python benchmarks/separate.py                  (after `make bench-env`)

All separate one stereo file of noise at 44.1 kHz into float WAV files. Each runs in a
separate process, with the same number of threads, in turn in every round:

- `sep`: separate.py with the bundled model; two stems.
- Open-Unmix: two targets of its smaller published size (umxhq, hidden size 512), its own
  Separator with one iteration of Wiener filtering, as its command runs it.
- HTDemucs: the published size (42 million parameters, four stems), split into segments with
  an overlap of 0.25, in one pass, which costs as much as the one random shift of its
  command.

The peers have random weights; speed does not depend on them.

The columns:

- speed: seconds of sound per second, from the first sample read to the last one written.
  Sep's includes both of its passes and compilation, which warm rounds take from the cache.
- seconds from the start of the process to the first sample in an output file.
- seconds from the start to the end of the process.
- maximum resident set size of the process in MB.

In the first round (cold) Sep has no compiled program. The other rounds are warm; their
medians make the ratios in the last line, which is JSON: `speed_vs_openunmix`,
`start_vs_openunmix`, `memory_vs_htdemucs` and so on are more than 1 where Sep is better.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from threads import pin

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parent.parent
RATE = 44100
HEADER = 4096  # bytes; a file that is larger has samples


def separate_openunmix(source: Path, out: Path, threads: int) -> None:
    """Separates a file with Open-Unmix, with random weights."""
    import torch

    # Open-Unmix imports torchaudio to open files, which is not needed here.
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    from openunmix import predict, umxhq_spec
    from openunmix.model import Separator

    torch.set_num_threads(threads)
    targets = umxhq_spec(["vocals", "other"], pretrained=False)
    separator = Separator(targets, niter=1, residual=False, nb_channels=2)
    separator.freeze()

    def separate(wave_CT: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            stems = predict.separate(wave_CT, rate=RATE, separator=separator)
        return {name: stem_1CT[0] for name, stem_1CT in stems.items()}

    timed(separate, source, out)


def separate_htdemucs(source: Path, out: Path, threads: int) -> None:
    """Separates a file with HTDemucs, with random weights."""
    import torch
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    torch.set_num_threads(threads)
    names = ["drums", "bass", "other", "vocals"]
    model = HTDemucs(names, bottom_channels=512, t_layers=5, segment=39 / 5).eval()

    def separate(wave_CT: torch.Tensor) -> dict[str, torch.Tensor]:
        mean, deviation = wave_CT.mean(), wave_CT.std()
        levelled_1CT = (wave_CT[None] - mean) / deviation
        stems_SCT = apply_model(model, levelled_1CT, shifts=0, split=True, overlap=0.25)[0]
        return dict(zip(names, stems_SCT * deviation + mean, strict=True))

    timed(separate, source, out)


PEERS = {"openunmix": separate_openunmix, "htdemucs": separate_htdemucs}


def timed(
    separate: Callable[["torch.Tensor"], dict[str, "torch.Tensor"]],
    source: Path,
    out: Path,
) -> None:
    """Reads, separates and writes a file; prints the seconds as JSON.

    Args:
      separate: maps a mixture (C, T) to stems (C, T) by name.
      source: file to read.
      out: folder to write to.
    """
    import soundfile
    import torch

    start = time.perf_counter()
    wave_TC, _ = soundfile.read(source, dtype="float32")
    out.mkdir(parents=True)
    for name, stem_CT in separate(torch.from_numpy(wave_TC.T.copy())).items():
        soundfile.write(out / f"{name}.wav", stem_CT.T.numpy(), RATE, "FLOAT")
    print(json.dumps({"took": time.perf_counter() - start}))


def main() -> None:
    """Times all parties, prints the table and the line of JSON."""
    args = parse_args()
    pin(args.threads)
    if args.peer:
        PEERS[args.peer](*map(Path, args.files), args.threads)
        return
    for package in ("torch", "openunmix", "demucs"):
        if importlib.util.find_spec(package) is None:
            cure = "run `make bench-env`, then use .venv-bench/bin/python"
            sys.exit(f"{package} is missing: {cure}")
    with tempfile.TemporaryDirectory() as folder:
        runs = measure(Path(folder), args)
    cold = {party: rounds[0] for party, rounds in runs.items()}
    warm = {
        party: {key: statistics.median(each[key] for each in rounds[1:]) for key in first}
        for (party, first), rounds in zip(cold.items(), runs.values(), strict=True)
    }
    print(f"{args.seconds:g} s of stereo; first round, then the median of the others:")
    for party in runs:
        for name, found in (("cold", cold[party]), ("warm", warm[party])):
            print(
                f"  {party:10}{name:6}{found['speed']:9.2f}x{found['start']:9.2f} s to the "
                f"first sample{found['whole']:9.2f} s in all{found['memory']:9.0f} MB"
            )
    ratios = {}
    for peer in PEERS:
        for key, better in (("speed", 1), ("start", -1), ("whole", -1), ("memory", -1)):
            ratio = (warm["sep"][key] / warm[peer][key]) ** better
            ratios[f"{key}_vs_{peer}"] = round(ratio, 3)
    result = {
        "benchmark": "separate",
        **ratios,
        "cold": {party: rounded(found) for party, found in cold.items()},
        "warm": {party: rounded(found) for party, found in warm.items()},
        "settings": {k: v for k, v in vars(args).items() if k not in ("peer", "files")},
        "versions": {
            name: version(name) for name in ("jax", "torch", "openunmix", "demucs")
        },
    }
    print("\n" + json.dumps(result))


def parse_args() -> argparse.Namespace:
    """Parses the flags; `--peer` is for the processes that this one starts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=180.0, help="length of the file; default 180"
    )
    parser.add_argument("--rounds", type=int, default=4, help="default 4, one of them cold")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rounds < 2 or args.threads < 1 or args.seconds < 1:
        parser.error("--rounds: 2 or more; --threads, --seconds: 1 or more")
    return args


def measure(folder: Path, args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Runs all parties in turn; returns the numbers of every round by party."""
    source, out = folder / "noise.wav", folder / "out"
    make_noise(source, args.seconds)
    ours: list[str | Path] = ["--subtype=FLOAT", "--json", f"--out={out}", source]
    commands: dict[str, list[str | Path]] = {
        "sep": [sys.executable, ROOT / "separate.py", *ours]
    }
    for peer in PEERS:
        flags = [f"--threads={args.threads}", f"--peer={peer}", source, out / "noise"]
        commands[peer] = [sys.executable, __file__, *flags]
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # empty: nothing is compiled
    runs: dict[str, list[dict[str, float]]] = {party: [] for party in commands}
    parties = list(commands)
    for turn in range(args.rounds):
        for party in parties[turn % len(parties) :] + parties[: turn % len(parties)]:
            runs[party].append(run(commands[party], out, args.seconds))
    return runs


def make_noise(path: Path, seconds: float) -> None:
    """Writes a 16-bit stereo file of noise."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for _ in range(round(10 * seconds)):
            file.write(0.1 * random.standard_normal((RATE // 10, 2)))


def run(command: list[str | Path], out: Path, seconds: float) -> dict[str, float]:
    """Runs a command that writes to `out` and measures it; exits if it fails.

    Args:
      command: the command.
      out: output folder; it is removed first.
      seconds: length of the recording.

    Returns:
      Values by "speed", "start", "whole" and "memory"; see the module's docstring.
    """
    subprocess.run(["rm", "-rf", out], check=True)
    begin = time.perf_counter()
    first: list[float] = []
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        watcher = threading.Thread(target=watch, args=(process, out, first))
        watcher.start()
        output = process.stdout.read()
        errors.seek(0)
        messages = errors.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    whole = time.perf_counter() - begin
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{output.decode()}{messages.decode()}")
    if not first:
        sys.exit(f"{' '.join(map(str, command))}\nended before its output was observed")
    took = json.loads(output.splitlines()[0])["took"]
    return {
        "speed": seconds / took,
        "start": first[0] - begin,
        "whole": whole,
        "memory": usage.ru_maxrss / 1024,
    }


def watch(process: subprocess.Popen, out: Path, first: list[float]) -> None:
    """Appends to `first` the time at which a file below `out` first has samples.

    Hidden files count, because separate.py renames complete files only.
    """
    while not first:
        ended = process.returncode is not None
        for folder, _, names in os.walk(out):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.exists(path) and os.path.getsize(path) > HEADER:
                    first.append(time.perf_counter())
                    return
        if ended:
            return
        time.sleep(0.002)


def rounded(run: dict[str, float]) -> dict[str, float]:
    """Values rounded to three decimals."""
    return {key: round(value, 3) for key, value in run.items()}


if __name__ == "__main__":
    main()
