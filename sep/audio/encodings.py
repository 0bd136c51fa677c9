"""What can be written: containers, sample formats, and which a recording's stems get."""

from typing import NamedTuple

from sep.audio.kinds import Format, Header
from sep.errors import UserError

AUTO = "auto"  # as a sample format: the recording's own, or the nearest that there is
FLOAT = "FLOAT"
WIDTHS = {"PCM_8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_WAV_LIMIT = 2**32 - 2**16  # bytes that a plain WAV file can hold


class Container(NamedTuple):
    """A kind of file.

    Attributes:
      subtypes: libsndfile's names of its sample formats, by ours.
      max_channels: that we put into it.
      rates: in Hz, that it can hold; none means any.
      options: of soundfile, for the coding.
    """

    subtypes: dict[str, str]
    max_channels: int
    rates: tuple[int, ...] = ()
    options: dict = {}  # never changed


_PCM = {f"PCM_{width}": f"PCM_{width}" for width in (16, 24)}
CONTAINERS = {
    "wav": Container({"PCM_8": "PCM_U8", **_PCM, "PCM_32": "PCM_32", FLOAT: FLOAT}, 1024),
    "flac": Container({"PCM_8": "PCM_S8", **_PCM}, 8),
    # Vorbis takes a sixth channel for a bass, and cuts it off at some 100 Hz.
    "ogg": Container({AUTO: "VORBIS"}, 2, options={"compression_level": 0.3}),
    "mp3": Container(
        {AUTO: "MPEG_LAYER_III"},
        2,
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        {"compression_level": 0.0, "bitrate_mode": "CONSTANT"},  # 320 kbit/s at 44.1 kHz
    ),
}


class Encoding(NamedTuple):
    """How stems are written: a name in `CONTAINERS`, and one of its sample formats."""

    container: str
    subtype: str

    @property
    def bits(self) -> int:
        """Of integer samples; 0 if they are not."""
        return WIDTHS.get(self.subtype, 0)

    @property
    def clips(self) -> bool:
        """Whether full scale is the end; players of MP3 and Ogg end there, too."""
        return self.subtype != FLOAT

    def options(self, sound: Format, length: int, mapped: bool) -> dict:
        """For soundfile, to write so many samples.

        Args:
          sound: see `Format`.
          length: in samples; what is too large for plain WAV becomes RF64.
          mapped: whether speakers are known, which takes the extensible kind of WAV.
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
    """How the stems of a recording are written.

    `AUTO` is the recording's own width, and float for one of floating point or coded with
    loss; where the container has no such format, the next wider, or else its widest.

    Raises:
      UserError: the container cannot hold that; the message says which can.
    """
    found, (rate, channels) = CONTAINERS[container], header.format
    others = "--format=wav or flac" if container != "flac" else "--format=wav"
    if channels > found.max_channels:
        raise UserError(
            f"{container} takes at most {found.max_channels} channels here, not "
            f"{channels}: choose {others}"
        )
    if found.rates and rate not in found.rates:
        listed = ", ".join(map(str, found.rates))
        raise UserError(
            f"{container} takes no {rate} Hz, only {listed}: choose {others} or ogg"
        )
    if subtype == AUTO:
        wide = [w for w in found.subtypes if WIDTHS.get(w, 32) >= header.bits > 0]
        subtype = wide[0] if wide else list(found.subtypes)[-1]
    if subtype not in found.subtypes:
        has = " or ".join(s for s in found.subtypes if s != AUTO)
        cure = f"choose --subtype={has}" if has else "leave --subtype out"
        raise UserError(f"{container} has no {subtype}: {cure}")
    return Encoding(container, subtype)
