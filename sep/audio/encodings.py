"""Containers and sample formats of the files that Sep writes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sep.audio.kinds import Format, Header
from sep.errors import UserError

AUTO = "auto"  # as a sample format: the recording's, or the nearest that the container has
FLOAT = "FLOAT"
WIDTHS = {"PCM_8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_WAV_LIMIT = 2**32 - 2**16  # bytes that a plain WAV file can contain


class Container(NamedTuple):
    """A kind of file.

    Attributes:
      subtypes: libsndfile's names of its sample formats, by Sep's names.
      max_channels: the most channels that Sep writes to it.
      rates: the sample rates that it supports, in Hz; empty: any.
      options: soundfile's options of the encoder.
    """

    subtypes: dict[str, str]
    max_channels: int
    rates: tuple[int, ...] = ()
    options: Mapping[str, Any] = {}  # never changed


_PCM = {f"PCM_{width}": f"PCM_{width}" for width in (16, 24)}
CONTAINERS = {
    "wav": Container({"PCM_8": "PCM_U8", **_PCM, "PCM_32": "PCM_32", FLOAT: FLOAT}, 1024),
    "flac": Container({"PCM_8": "PCM_S8", **_PCM}, 8),
    # Vorbis treats a sixth channel as bass, and cuts it off at about 100 Hz.
    "ogg": Container({AUTO: "VORBIS"}, 2, options={"compression_level": 0.3}),
    "mp3": Container(
        {AUTO: "MPEG_LAYER_III"},
        2,
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        {"compression_level": 0.0, "bitrate_mode": "CONSTANT"},  # 320 kbit/s at 44.1 kHz
    ),
}


class Encoding(NamedTuple):
    """Encoding of stems.

    Attributes:
      container: a key of `CONTAINERS`.
      subtype: a key of that container's sample formats.
    """

    container: str
    subtype: str

    @property
    def bits(self) -> int:
        """Width of integer samples; 0 for other sample formats."""
        return WIDTHS.get(self.subtype, 0)

    @property
    def clips(self) -> bool:
        """Whether samples beyond full scale are clipped.

        This includes MP3 and Ogg, which players clip.
        """
        return self.subtype != FLOAT

    def options(self, sound: Format, length: int, mapped: bool) -> dict[str, Any]:
        """Returns soundfile's options for writing a file.

        Args:
          sound: sample rate and channels.
          length: in samples; a file that is too large for plain WAV becomes RF64.
          mapped: whether the channels' speakers are known, which requires extensible WAV.
        """
        container, kind = CONTAINERS[self.container], self.container.upper()
        if kind == "WAV":
            size = length * sound.channels * (self.bits or 32) // 8
            kind = "RF64" if size > _WAV_LIMIT else "WAVEX" if mapped else "WAV"
        return {
            "samplerate": sound.sample_rate,
            "channels": sound.channels,
            "format": kind,
            "subtype": container.subtypes[self.subtype],
            **container.options,
        }


def choose(container: str, subtype: str, header: Header) -> Encoding:
    """Chooses the encoding of a recording's stems.

    `AUTO` is the recording's own width, or float if the recording is floating point or
    lossily coded. If the container has no such format, it is the next wider one, or else
    the container's widest.

    Args:
      container: a key of `CONTAINERS`.
      subtype: a sample format, or `AUTO`.
      header: the recording's.

    Raises:
      UserError: the container does not support that; the message names one that does.
    """
    found, (rate, channels) = CONTAINERS[container], header.format
    others = "--format=wav or flac" if container != "flac" else "--format=wav"
    if channels > found.max_channels:
        raise UserError(
            f"{container} files can have at most {found.max_channels} channels here, not "
            f"{channels}; choose {others}"
        )
    if found.rates and rate not in found.rates:
        listed = ", ".join(map(str, found.rates))
        raise UserError(
            f"{container} does not support {rate} Hz, only {listed}; choose {others} or ogg"
        )
    if subtype == AUTO:
        wide = [w for w in found.subtypes if WIDTHS.get(w, 32) >= header.bits > 0]
        subtype = wide[0] if wide else list(found.subtypes)[-1]
    if subtype not in found.subtypes:
        supported = " or ".join(s for s in found.subtypes if s != AUTO)
        cure = f"choose --subtype={supported}" if supported else "leave --subtype out"
        raise UserError(f"{container} does not support {subtype}; {cure}")
    return Encoding(container, subtype)
