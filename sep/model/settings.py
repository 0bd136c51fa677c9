"""Settings of models, and of separation with a model."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

from sep.model.architectures import ARCHITECTURES
from sep.model.names import output_names
from sep.model.registry import lookup, settings_classes
from sep.model.representations import REPRESENTATIONS
from sep.runtime.settings import RUN, part, setting


def _blocks(classes: Any) -> dict[str, Any]:
    return {name: kind() for name, kind in classes().items()}


_representations = partial(settings_classes, REPRESENTATIONS)
_architectures = partial(settings_classes, ARCHITECTURES)


@dataclass(frozen=True)
class ModelSettings:
    """Settings of a separator. Release files contain them.

    Attributes:
      representations, architectures: settings of each by its name. Those that are not
        chosen may be missing.
    """

    sources: tuple[str, ...] = setting(
        ("piano", "violin"), "Names of the sources, and of the folders of their stems."
    )
    residual: bool = setting(False, "One more output for all that is no named source.")
    sample_rate: int = setting(
        44100, "Recordings at other rates are converted.", "Hz", at_least=1
    )
    representation: str = setting("magnitude", "Name of the representation.")
    architecture: str = setting("lstm", "Name of the architecture.")
    level_free: bool = setting(
        True, "Features of masks are normalised frame by frame.", absent=False
    )
    stereo: bool = setting(
        False, "Spectrograms have features of the differences of channels.", absent=False
    )
    representations: dict[str, Any] = part(
        partial(_blocks, _representations), _representations
    )
    architectures: dict[str, Any] = part(partial(_blocks, _architectures), _architectures)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the S outputs, in order; raises UserError as `output_names` does."""
        return output_names(self.sources, residual=self.residual)

    @property
    def representation_settings(self) -> Any:
        """Settings of the chosen representation; raises UserError if it is unknown."""
        return lookup(self.representations, "representation", self.representation)

    @property
    def architecture_settings(self) -> Any:
        """Settings of the chosen architecture; raises UserError if it is unknown."""
        return lookup(self.architectures, "architecture", self.architecture)

    def in_use(self) -> "ModelSettings":
        """Returns the settings with only the chosen representation and architecture."""
        return dataclasses.replace(
            self,
            representations={self.representation: self.representation_settings},
            architectures={self.architecture: self.architecture_settings},
        )


@dataclass(frozen=True)
class SeparationSettings:
    """Settings of separation with a model. Its release file contains them."""

    chunk_seconds: float = setting(10.0, "Length of a chunk.", "s", above=0, resumes=RUN)
    overlap: float = setting(
        0.1, "Share of a chunk that is crossfaded with the next.", at_least=0, below=1,
        resumes=RUN,
    )  # fmt: skip
    batch_size: int = setting(
        4, "Chunks of one channel in memory at once.", at_least=1, resumes=RUN
    )
    wiener_seconds: float = setting(
        0.19,
        "Length of the frames of the Wiener filter that refines the estimates over all "
        "channels, rounded to a power of two in samples; 0: no filter.",
        "s",
        at_least=0,
        absent=0.19,
        resumes=RUN,
    )
    wiener_exponent: float = setting(
        1.25,
        "Exponent on magnitudes in the filter; 2: the local Gaussian model, less: softer.",
        above=0,
        at_most=4,  # from 6 on, the power of silence underflows in float32
        absent=1.25,
        resumes=RUN,
    )
