"""Settings of the representations. Lengths are in samples."""

from dataclasses import dataclass

from sep.runtime.settings import setting

_COMPRESSION = "Exponent on magnitudes."


@dataclass(frozen=True)
class WaveformSettings:
    """Settings of `waveform`."""

    frame_length: int = setting(1024, "Length of a frame.", "samples", at_least=1)
    hop_length: int = setting(512, "Distance between frames.", "samples", at_least=1)


@dataclass(frozen=True)
class SpectrogramSettings:
    """Settings common to all spectrograms."""

    n_fft: int = setting(4096, "Length of window and transform.", "samples", at_least=1)
    hop_length: int = setting(1024, "Distance between frames.", "samples", at_least=1)
    max_frequency: float = setting(
        12000.0, "Bins up to here have features; 0: all bins.", "Hz", at_least=0
    )
    onset_n_fft: int = setting(
        0,
        "Length of short windows whose spectra are further features; 0: none.",
        "samples",
        at_least=0,
        absent=0,
    )
    dft: str = setting(
        "fft",
        "Algorithm of the transform; matrix products are faster than FFTs on TPUs.",
        choices=("fft", "matrix"),
        absent="fft",
    )


@dataclass(frozen=True)
class MagnitudeSettings(SpectrogramSettings):
    """Settings of `magnitude`."""

    compression: float = setting(0.3, _COMPRESSION, above=0)


@dataclass(frozen=True)
class LogMagnitudeSettings(SpectrogramSettings):
    """Settings of `log_magnitude`."""

    floor_db: float = setting(-100.0, "Level added to every bin.", "dB")


@dataclass(frozen=True)
class ComplexSettings(SpectrogramSettings):
    """Settings of `complex`."""

    compression: float = setting(0.3, _COMPRESSION, above=0)
    with_magnitude: bool = setting(
        True, "Whether the magnitude is also a feature.", absent=False
    )


@dataclass(frozen=True)
class MelSettings(SpectrogramSettings):
    """Settings of `mel`."""

    bands: int = setting(160, "Number of bands up to max_frequency.", at_least=1)
    compression: float = setting(0.3, _COMPRESSION, above=0)


@dataclass(frozen=True)
class MdctSettings:
    """Settings of `mdct`."""

    frame_length: int = setting(
        2048, "Length of a frame, a multiple of 4; the hop is half of it.", "samples",
        at_least=4,
    )  # fmt: skip
    max_frequency: float = setting(
        12000.0, "Bins up to here have features; 0: all bins.", "Hz", at_least=0
    )
    compression: float = setting(0.3, _COMPRESSION, above=0)


@dataclass(frozen=True)
class LearnedSettings:
    """Settings of `learned`."""

    frame_length: int = setting(1024, "Length of a frame.", "samples", at_least=1)
    hop_length: int = setting(512, "Distance between frames.", "samples", at_least=1)
    filters: int = setting(512, "Number of filters, at most frame_length.", at_least=1)
    compression: float = setting(0.3, _COMPRESSION, above=0)
