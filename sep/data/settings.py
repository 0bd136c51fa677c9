"""Settings of training data: reading, drawing, augmenting and mixing stems."""

from dataclasses import dataclass
from typing import Any

from sep.runtime.settings import MACHINE, RUN, part, setting

OTHER = "other"  # in `DataSettings.timbre`: the entry of all sources that have none


def _chance(default: float, text: str, **more: Any) -> float:
    return setting(default, text, at_least=0, at_most=1, **more)


def _strength(default: float, text: str, unit: str = "") -> float:
    return setting(default, f"{text}; 0: off.", unit, at_least=0)


@dataclass(frozen=True)
class TimbreSettings:
    """Augmentation that makes one instrument sound like others of its kind."""

    pitch_semitones: float = _strength(
        1.0, "Pitch shift by resampling, up to +-", "semitones"
    )
    formant_semitones: float = _strength(
        0.0, "Shift of the envelope, up to +-", "semitones"
    )
    body_db: float = _strength(0.0, "Deviation of random body resonances", "dB")
    tilt_db: float = _strength(0.0, "Spectral tilt per octave, up to +-", "dB")
    detune_cents: float = _strength(0.0, "Detuning of a second string, up to +-", "cents")


def _timbres() -> dict[str, TimbreSettings]:
    return {name: TimbreSettings() for name in ("piano", "violin", OTHER)}


@dataclass(frozen=True)
class DataSettings:
    """Settings of batches. Augmentation is random for every source of every example."""

    channels: int = setting(1, "Channels of mixtures.", choices=(1, 2))
    crop_seconds: float = setting(3.0, "Length of a crop.", "s", above=0)
    batch_size: int = setting(16, "Examples per step.", at_least=1)
    workers: int = setting(
        1, "Threads that read ahead; 0: none.", at_least=0, resumes=MACHINE
    )
    cache: str = setting(
        "", "Folder for decoded stems; empty: the user's cache folder.", resumes=MACHINE
    )
    strict: bool = setting(
        False, "Refuse recordings that cannot be read, instead of skipping.", resumes=RUN
    )
    missing_is_silence: bool = setting(
        False, "Treat a source without a file in a track as silent there."
    )
    aligned: float = _chance(0.5, "Share of examples from one track.")
    solos: float = _chance(0.0, "Share of examples from recordings outside tracks.")
    room_seconds: float = setting(
        1.0, "Length kept of the impulse responses in DATA/rooms.", "s", at_least=0
    )
    gain_db: float = _strength(6.0, "Gain of each source, up to +-", "dB")
    level_db: float = _strength(12.0, "Level of the mixture, up to +-", "dB")
    polarity: float = _chance(0.5, "Chance that a source is inverted.")
    absent: float = _chance(0.05, "Chance that a source is silent.")
    equaliser_db: float = _strength(6.0, "Deviation of a random smooth response", "dB")
    band_limit: float = _chance(0.1, "Chance of a low-pass, as of lossy codecs.")
    band_limit_hz: float = setting(
        5000.0, "Lowest cut-off frequency of that low-pass.", "Hz", at_least=0
    )
    room: float = _chance(0.0, "Chance of reverberation; see docs/data.md.")
    shared: float = _chance(0.5, "Chance that sources share a band limit, and a room.")
    swap: float = _chance(0.5, "Chance that left and right are exchanged.")
    pan: float = _chance(0.5, "Panning, up to this share to either side.")
    width: float = _chance(0.5, "Change of the stereo width, up to +- this share.")
    diffuse: float = _chance(
        0.0, "Decorrelating echoes, up to this share of the source.", absent=0.0
    )
    mono: float = _chance(0.0, "Chance that the mixture is mono.", absent=0.0)
    noise: float = _chance(0.3, "Chance of noise in the residual, if there is one.")
    noise_db: float = setting(-30.0, "Highest level of that noise.", "dB")
    clip: float = _chance(0.1, "Chance that the mixture is clipped softly.")
    clip_db: float = _strength(6.0, "Clipping level below the peak, up to", "dB")
    timbre: dict[str, TimbreSettings] = part(_timbres)

    def timbre_of(self, source: str) -> TimbreSettings:
        """Timbre settings of a source, or of `OTHER` if it has no entry."""
        return self.timbre[source if source in self.timbre else OTHER]
