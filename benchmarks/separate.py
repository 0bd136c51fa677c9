"""Times separate.py against Open-Unmix and HTDemucs on one file, on the CPU.

  .venv-bench/bin/python benchmarks/separate.py                  (after `make bench-env`)

All separate one stereo file of noise at 44.1 kHz into float WAV files, each in a process of
its own, with the same threads, in turn, round by round:

`sep`: separate.py with its bundled model, two stems. Open-Unmix: two targets of its smaller
published size (umxhq, hidden size 512), its own Separator with one iteration of Wiener
filtering, as its command runs it. HTDemucs: the published size (42 million parameters, four
stems), split into its segments with an overlap of 0.25, in one pass, which costs what its
command's one random shift does.
Both with random weights, on which speed does not depend.

`speed` is seconds of sound a second, from the first sample read to the last one written;
Sep's includes both its passes, and compiling, which in warm rounds is done from the cache.
`start` is seconds from the start of the process to the first sample in an output file,
`memory` the largest resident set of the process in MB. In the first, cold round Sep has no
compiled program; medians of the others are warm, and what the ratios are of:
`speed_vs_openunmix`, `speed_vs_htdemucs`, `start_vs_openunmix`, `memory_vs_htdemucs` and
the rest are more than 1 where Sep is better. The last line is JSON.
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
from importlib.metadata import version
from pathlib import Path

from threads import pin

ROOT = Path(__file__).parent.parent
RATE = 44100
HEADER = 4096  # bytes; a file that is larger has samples


def separate_openunmix(source: Path, out: Path, threads: int) -> None:
    """Separates a file with Open-Unmix, of random weights."""
    import torch

    # It asks for torchaudio when it is imported, to open files: nothing that is used here.
    sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
    from openunmix import predict, umxhq_spec
    from openunmix.model import Separator

    torch.set_num_threads(threads)
    targets = umxhq_spec(["vocals", "other"], pretrained=False)
    separator = Separator(targets, niter=1, residual=False, nb_channels=2)
    separator.freeze()

    def separate(wave_CT):
        with torch.no_grad():
            stems = predict.separate(wave_CT, rate=RATE, separator=separator)
        return {name: stem_1CT[0] for name, stem_1CT in stems.items()}

    timed(separate, source, out)


def separate_htdemucs(source: Path, out: Path, threads: int) -> None:
    """Separates a file with HTDemucs, of random weights."""
    import torch
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    torch.set_num_threads(threads)
    names = ["drums", "bass", "other", "vocals"]
    model = HTDemucs(names, bottom_channels=512, t_layers=5, segment=39 / 5).eval()

    def separate(wave_CT):
        mean, deviation = wave_CT.mean(), wave_CT.std()
        levelled_1CT = (wave_CT[None] - mean) / deviation
        stems_SCT = apply_model(model, levelled_1CT, shifts=0, split=True, overlap=0.25)[0]
        return dict(zip(names, stems_SCT * deviation + mean, strict=True))

    timed(separate, source, out)


PEERS = {"openunmix": separate_openunmix, "htdemucs": separate_htdemucs}


def timed(separate, source: Path, out: Path) -> None:
    """Reads, separates and writes; prints the seconds that it took."""
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
    warm = {
        party: {key: statistics.median(run[key] for run in those[1:]) for key in those[0]}
        for party, those in runs.items()
    }
    print(f"{args.seconds:g} s of stereo; first round, then the median of the others:")
    for party, those in runs.items():
        for name, run in (("cold", those[0]), ("warm", warm[party])):
            print(
                f"  {party:10}{name:6}{run['speed']:9.2f}x{run['start']:9.2f} s to the "
                f"first sample{run['whole']:9.2f} s in all{run['memory']:9.0f} MB"
            )
    ratios = {}
    for peer in PEERS:
        for key, better in (("speed", 1), ("start", -1), ("whole", -1), ("memory", -1)):
            ratio = (warm["sep"][key] / warm[peer][key]) ** better
            ratios[f"{key}_vs_{peer}"] = round(ratio, 3)
    result = {
        "benchmark": "separate",
        **ratios,
        "cold": {party: rounded(those[0]) for party, those in runs.items()},
        "warm": {party: rounded(run) for party, run in warm.items()},
        "settings": {k: v for k, v in vars(args).items() if k not in ("peer", "files")},
        "versions": {
            name: version(name) for name in ("jax", "torch", "openunmix", "demucs")
        },
    }
    print("\n" + json.dumps(result))


def parse_args() -> argparse.Namespace:
    """The flags; `--peer` is for the processes that this one starts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="default 180")
    parser.add_argument("--rounds", type=int, default=4, help="default 4, one of them cold")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rounds < 2 or args.threads < 1 or args.seconds < 1:
        parser.error("--rounds: 2 or more; --threads, --seconds: 1 or more")
    return args


def measure(folder: Path, args: argparse.Namespace) -> dict[str, list[dict]]:
    """Of every party a dict of numbers for each round."""
    source, out = folder / "noise.wav", folder / "out"
    make_noise(source, args.seconds)
    ours = ["--subtype=FLOAT", "--json", f"--out={out}", source]
    commands = {"sep": [sys.executable, ROOT / "separate.py", *ours]}
    for peer in PEERS:
        flags = [f"--threads={args.threads}", f"--peer={peer}", source, out / "noise"]
        commands[peer] = [sys.executable, __file__, *flags]
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # empty: nothing is compiled
    runs = {party: [] for party in commands}
    parties = list(commands)
    for turn in range(args.rounds):
        for party in parties[turn % len(parties) :] + parties[: turn % len(parties)]:
            runs[party].append(run(commands[party], out, args.seconds))
    return runs


def make_noise(path: Path, seconds: float) -> None:
    """A stereo file of 16 bits."""
    import numpy as np
    import soundfile

    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for _ in range(round(10 * seconds)):
            file.write(0.1 * random.standard_normal((RATE // 10, 2)))


def run(command: list, out: Path, seconds: float) -> dict[str, float]:
    """Runs a command in an empty folder and watches it."""
    subprocess.run(["rm", "-rf", out], check=True)
    begin, first = time.perf_counter(), []
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
        sys.exit(f"{' '.join(map(str, command))}\nwas done before it was looked at")
    took = json.loads(output.splitlines()[0])["took"]
    return {
        "speed": seconds / took,
        "start": first[0] - begin,
        "whole": whole,
        "memory": usage.ru_maxrss / 1024,
    }


def watch(process: subprocess.Popen, out: Path, first: list[float]) -> None:
    """Notes when there are samples in a file, be it hidden yet."""
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
    """Numbers as they are worth printing."""
    return {key: round(value, 3) for key, value in run.items()}


if __name__ == "__main__":
    main()
