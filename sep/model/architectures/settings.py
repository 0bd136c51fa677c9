"""Settings of the architectures, and three sizes of each for comparisons.

`SIZES` has the settings for about 0.3, 1 and 4 million parameters that differ from the
defaults. Parameters are counted with the base config's magnitudes and two sources; other
representations have other numbers of bins and therefore of parameters. In `harmonic` all
semitones share their weights; its sizes are chosen by computational work instead.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from sep.runtime.settings import setting

Sizes = dict[str, dict[str, int]]


def _width(default: int, text: str = "Width of the hidden layers.") -> int:
    return setting(default, text, at_least=1)


def _depth(default: int, text: str = "Number of layers.", absent: int | None = None) -> int:
    legacy: dict[str, Any] = {} if absent is None else {"absent": absent}
    return setting(default, text, at_least=1, **legacy)


def _dropout(default: float) -> float:
    text = "Share of activations dropped between layers in training."
    return setting(default, text, at_least=0, below=1)


def _sizes(depths: tuple[int, int, int], widths: tuple[int, int, int]) -> Sizes:
    """Returns sizes by name, given depths and widths from small to large."""
    names = ("small", "medium", "large")
    return {
        name: {"width": width, "depth": depth}
        for name, depth, width in zip(names, depths, widths, strict=True)
    }


@dataclass(frozen=True)
class FnnSettings:
    """Settings of `fnn`."""

    width: int = _width(512)
    depth: int = _depth(2, "Number of hidden layers.", absent=2)
    context: int = setting(0, "Frames on each side that are also inputs.", at_least=0)

    SIZES: ClassVar[Sizes] = _sizes((2, 2, 2), (88, 276, 928))


@dataclass(frozen=True)
class CnnSettings:
    """Settings of `cnn`."""

    width: int = _width(12, "Channels at the finest level; doubled at each coarser one.")
    depth: int = _depth(4, "Number of coarser levels.")

    SIZES: ClassVar[Sizes] = _sizes((4, 4, 4), (6, 11, 21))


@dataclass(frozen=True)
class FramewiseSettings:
    """Settings that all networks on whole frames share; see `Framewise`."""

    width: int = _width(512)
    depth: int = _depth(2)
    dropout: float = _dropout(0.0)


@dataclass(frozen=True)
class RnnSettings(FramewiseSettings):
    """Settings of `rnn`."""

    width: int = _width(176)
    depth: int = _depth(3, "Number of recurrent layers.")
    kind: str = setting("mingru", "Cell.", choices=("mingru", "gru", "simple"))

    SIZES: ClassVar[Sizes] = _sizes((3, 3, 3), (72, 176, 432))


@dataclass(frozen=True)
class LstmSettings(FramewiseSettings):
    """Settings of `lstm`."""

    depth: int = _depth(2, "Number of LSTM layers.")

    SIZES: ClassVar[Sizes] = _sizes((2, 2, 2), (72, 176, 432))


@dataclass(frozen=True)
class OpenUnmixSettings(FramewiseSettings):
    """Settings of `openunmix`."""

    depth: int = _depth(3, "Number of LSTM layers.")
    dropout: float = _dropout(0.4)

    SIZES: ClassVar[Sizes] = _sizes((2, 2, 2), (72, 176, 432))


@dataclass(frozen=True)
class TcnSettings(FramewiseSettings):
    """Settings of `tcn`."""

    width: int = _width(144)
    depth: int = _depth(6, "Number of convolutional layers.")
    dilations: int = setting(
        6, "Layers after which the dilation restarts at 1 frame.", at_least=1
    )

    SIZES: ClassVar[Sizes] = _sizes((6, 6, 9), (64, 144, 280))


@dataclass(frozen=True)
class BandsplitSettings:
    """Settings of `bandsplit`."""

    width: int = _width(96, "Features of a band and frame.")
    depth: int = _depth(4, "Number of blocks.")
    heads: int = setting(2, "Attention heads; they divide width.", at_least=1)
    finest: int = setting(4, "Bins of the lowest bands.", at_least=1)
    fine: int = setting(12, "Bands after which the width of bands doubles.", at_least=1)
    along_time: str = setting(
        "attention", "Layer along time.", choices=("attention", "lstm", "mingru")
    )

    SIZES: ClassVar[Sizes] = _sizes((2, 5, 6), (60, 104, 208))


@dataclass(frozen=True)
class HarmonicSettings:
    """Settings of `harmonic`."""

    width: int = _width(48, "Features of a semitone and frame.")
    depth: int = _depth(3, "Number of blocks.")
    peaks: int = setting(
        3,
        "Number of features, the first ones, with differences to neighbours as inputs.",
        at_least=0,
        absent=3,
    )
    dropout: float = setting(
        0.0,
        "Share of blocks that an example skips in training.",
        at_least=0,
        below=1,
        absent=0.0,
    )

    SIZES: ClassVar[Sizes] = _sizes((2, 3, 4), (24, 48, 96))
