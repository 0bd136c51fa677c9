"""Times a stereo stft + istft round trip of sep.model.transforms against its peers.

Peers: torch, librosa, scipy's ShortTimeFFT and jax.scipy.signal, each used as its
manual recommends. All get the same signal (the example duet repeated, or noise if it is
missing), the same float32 Hann window and the same number of threads, on the CPU. In
each round every party makes one round trip, in turn, so that other load affects all
equally; compilation is not timed. `make bench-env` installs the peers:

    .venv-bench/bin/python benchmarks/transforms.py

The table shows for each party the median time; that time over Sep's (above 1, Sep is
faster); the signal-to-error ratio of its round trip; and the distance of its frames from
Sep's: that of the worst frame inside the signal, relative to its norm. The last line is
JSON: its "ratio" is the fastest peer's time over Sep's. The exit status is 1 if Sep
restores less than 130 dB, or its frames are more than 1e-5 away from torch's or librosa's.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from threads import pin

EXAMPLE = Path(__file__).parents[1] / "examples/duet/mixture.flac"
SAMPLE_RATE = 44_100


class Party(NamedTuple):
    """An implementation of the transform, applied to the signal.

    Attributes:
      package: name of its package.
      round_trip: returns the wave (C, T) after transform and inverse.
      spectrum: returns the spectrum (C, N, F); frame n is centred on sample n * hop.
    """

    package: str
    round_trip: Callable[[], Any]
    spectrum: Callable[[], Any]


def main() -> None:
    """Checks and times all parties and prints the results."""
    args = parse_args()
    pin(args.threads)  # before the imports below, because libraries start their threads
    wave_CT, signal = make_signal(round(args.seconds * SAMPLE_RATE))
    try:
        parties = make_parties(wave_CT, args.n_fft, args.hop, args.threads)
    except ModuleNotFoundError as error:
        cure = "run `make bench-env`, then use .venv-bench/bin/python"
        sys.exit(f"{error.name} is missing: {cure}")

    restored_dB = {name: snr(wave_CT, p.round_trip()) for name, p in parties.items()}
    first = -(-(args.n_fft // 2) // args.hop)
    last = (wave_CT.shape[-1] - (args.n_fft - args.n_fft // 2)) // args.hop
    frames = {name: p.spectrum()[:, first : last + 1] for name, p in parties.items()}
    distances = {name: distance(frames["sep"], f) for name, f in frames.items()}
    del frames
    seconds = measure(parties, args.rounds)
    ratio = min(s for name, s in seconds.items() if name != "sep") / seconds["sep"]

    cut = f"n_fft {args.n_fft}, hop {args.hop}"
    effort = f"threads {args.threads}, rounds {args.rounds}"
    print(f"{args.seconds:g} s of {signal} in stereo; {cut}; {effort}\n")
    print(f"{'party':25}{'median':>9}{'/ sep':>9}{'restored':>11}{'frames':>10}")
    for name in sorted(parties, key=seconds.get):
        package = parties[name].package
        print(
            f"{f'{name} ({package} {version(package)})':25}"
            f"{seconds[name]:7.3f} s{seconds[name] / seconds['sep']:9.2f}"
            f"{restored_dB[name]:8.1f} dB{distances[name]:10.1e}"
        )
    result = {
        "benchmark": "transforms",
        "ratio": round(ratio, 3),
        "seconds": {name: round(s, 4) for name, s in seconds.items()},
        "restored_dB": {name: round(dB, 1) for name, dB in restored_dB.items()},
        "frame_distance": {name: float(f"{d:.2g}") for name, d in distances.items()},
        "settings": {**vars(args), "signal": signal},
        "versions": {p.package: version(p.package) for p in parties.values()},
    }
    print("\n" + json.dumps(result))
    if restored_dB["sep"] < 130:
        sys.exit("sep does not restore the signal: less than 130 dB")
    if not max(distances["torch"], distances["librosa"]) <= 1e-5:
        sys.exit("sep's frames differ from those of torch or librosa by more than 1e-5")


def parse_args() -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = functools.partial(parser.add_argument, metavar="N")
    add("--threads", type=int, default=2, help="threads of every party (default: 2)")
    add("--rounds", type=int, default=5, help="round trips of each party (default: 5)")
    add("--seconds", type=float, default=60.0, help="length of the signal (default: 60)")
    add("--n_fft", type=int, default=4096, help="samples in a frame (default: 4096)")
    add("--hop", type=int, default=1024, help="samples between frames (default: 1024)")
    args = parser.parse_args()
    if min(args.threads, args.rounds, args.hop) < 1:
        parser.error("--threads, --rounds and --hop must be at least 1")
    if args.n_fft % 2 or args.hop > args.n_fft // 2:
        parser.error("--n_fft must be even, and --hop at most half of it")
    if args.seconds * SAMPLE_RATE < 2 * args.n_fft:
        parser.error("--seconds must be the length of at least two frames")
    return args


def make_signal(length: int) -> tuple[Any, str]:
    """Returns the repeated example or noise, float32 (2, length), and its name."""
    import numpy as np

    if not EXAMPLE.exists():
        noise_CT = np.random.default_rng(0).standard_normal((2, length), np.float32)
        return 0.1 * noise_CT, "noise"
    import soundfile

    example_TC, _ = soundfile.read(EXAMPLE, dtype="float32", always_2d=True)
    repeats = -(-length // len(example_TC))
    wave_CT = np.tile(example_TC.T, (2 // example_TC.shape[1], repeats))
    return np.ascontiguousarray(wave_CT[:, :length]), "the example duet"


def make_parties(wave_CT: Any, n_fft: int, hop: int, threads: int) -> dict[str, Party]:
    """Builds every party, by name; Sep is first."""
    length = wave_CT.shape[-1]
    return {
        "sep": sep_party(wave_CT, n_fft, hop, length),
        "torch": torch_party(wave_CT, n_fft, hop, length, threads),
        "librosa": librosa_party(wave_CT, n_fft, hop, length),
        "scipy": scipy_party(wave_CT, n_fft, hop, length, threads),
        "jax.scipy": jax_party(wave_CT, n_fft, hop, length),
    }


def sep_party(wave_CT: Any, n_fft: int, hop: int, length: int) -> Party:
    """sep.model.transforms, both directions under one jit."""
    import jax

    from sep.model import transforms

    window = transforms.hann(n_fft)
    wave_CT = jax.device_put(wave_CT)

    @jax.jit
    def round_trip(wave_CT: jax.Array) -> jax.Array:
        spectrum_CNF = transforms.stft(wave_CT, window=window, hop_length=hop)
        return transforms.istft(spectrum_CNF, window=window, hop_length=hop, length=length)

    def spectrum() -> Any:
        spectrum_CNF = transforms.stft(wave_CT, window=window, hop_length=hop)
        return spectrum_CNF[:, transforms.leading_frames(n_fft, hop) :]

    return Party("sep-audio", lambda: round_trip(wave_CT).block_until_ready(), spectrum)


def torch_party(wave_CT: Any, n_fft: int, hop: int, length: int, threads: int) -> Party:
    """torch.stft and torch.istft, without gradients."""
    import torch

    torch.set_num_threads(threads)
    window = torch.hann_window(n_fft)
    wave_CT = torch.from_numpy(wave_CT)
    kwargs = {"n_fft": n_fft, "hop_length": hop, "window": window}

    def analyse() -> torch.Tensor:
        return torch.stft(wave_CT, pad_mode="constant", return_complex=True, **kwargs)

    @torch.inference_mode()
    def round_trip() -> torch.Tensor:
        return torch.istft(analyse(), length=length, **kwargs)

    return Party("torch", round_trip, lambda: analyse().mT.numpy())


def librosa_party(wave_CT: Any, n_fft: int, hop: int, length: int) -> Party:
    """librosa.stft and librosa.istft."""
    import librosa

    def analyse() -> Any:
        return librosa.stft(wave_CT, n_fft=n_fft, hop_length=hop)

    def round_trip() -> Any:
        return librosa.istft(analyse(), n_fft=n_fft, hop_length=hop, length=length)

    return Party("librosa", round_trip, lambda: analyse().swapaxes(-1, -2))


def scipy_party(wave_CT: Any, n_fft: int, hop: int, length: int, threads: int) -> Party:
    """ShortTimeFFT, with phases relative to the start of a frame, as the others have."""
    import numpy as np
    import scipy.fft
    import scipy.signal

    window = scipy.signal.get_window("hann", n_fft).astype(np.float32)
    transform = scipy.signal.ShortTimeFFT(window, hop, SAMPLE_RATE, phase_shift=None)

    def round_trip() -> Any:
        with scipy.fft.set_workers(threads):
            return transform.istft(transform.stft(wave_CT), k1=length)

    def spectrum() -> Any:
        return transform.stft(wave_CT).swapaxes(-1, -2)[:, -transform.p_min :]

    return Party("scipy", round_trip, spectrum)


def jax_party(wave_CT: Any, n_fft: int, hop: int, length: int) -> Party:
    """jax.scipy.signal, both directions under one jit; it divides by the window's sum."""
    import jax
    import jax.scipy.signal

    wave_CT = jax.device_put(wave_CT)
    kwargs = {"nperseg": n_fft, "noverlap": n_fft - hop}

    @jax.jit
    def round_trip(wave_CT: jax.Array) -> jax.Array:
        _, _, spectrum_CFN = jax.scipy.signal.stft(wave_CT, **kwargs)
        return jax.scipy.signal.istft(spectrum_CFN, **kwargs)[1][:, :length]

    def spectrum() -> Any:
        _, _, spectrum_CFN = jax.scipy.signal.stft(wave_CT, **kwargs)
        return spectrum_CFN.swapaxes(-1, -2) * (n_fft / 2)

    return Party("jax", lambda: round_trip(wave_CT).block_until_ready(), spectrum)


def snr(reference: Any, estimate: Any) -> float:
    """Signal-to-error ratio in dB."""
    import numpy as np

    reference = np.asarray(reference, np.float64)
    error = np.sum((np.asarray(estimate, np.float64) - reference) ** 2)
    return float(10 * np.log10(np.sum(reference**2) / max(error, 1e-300)))


def distance(ours_CNF: Any, theirs_CNF: Any) -> float:
    """Largest distance between two frames, relative to the norm of the peer's."""
    import numpy as np

    theirs_CNF = np.asarray(theirs_CNF, np.complex128)
    error_CN = np.linalg.norm(np.asarray(ours_CNF) - theirs_CNF, axis=-1)
    norm_CN = np.linalg.norm(theirs_CNF, axis=-1)
    return float(np.max(error_CN / np.maximum(norm_CN, 1e-30)))


def measure(parties: dict[str, Party], rounds: int) -> dict[str, float]:
    """Median seconds of a round trip by party. Every round begins with another party."""
    names = list(parties)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        for j in range(len(names)):
            name = names[(i + j) % len(names)]
            start = time.perf_counter()
            parties[name].round_trip()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    main()
