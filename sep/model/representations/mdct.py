"""The modified discrete cosine transform: as many coefficients as samples."""

from jax import Array

from sep.model import transforms
from sep.model.representations.masking import Signed
from sep.model.representations.settings import MdctSettings


class Mdct(Signed):
    """Features are compressed coefficients; masks are real, of any sign; K = 1.

    Frames of 2 F samples overlap by half and have F coefficients each. The transform is
    real and critically sampled, and exact because time-domain aliasing cancels (Princen &
    Bradley 1986; Princen, Johnson & Bradley 1987). Audio codecs use it. Masks can represent
    any source exactly, wherever the mixture's coefficient is not zero. But coefficients of
    a steady tone change with its phase from frame to frame, and masks must change with
    them.

    Settings:
      frame_length: samples in a frame (2 F), a multiple of 4; the hop is half of it.
      max_frequency: Hz; bins up to here have features. 0: all bins.
      compression: exponent on magnitudes.
    """

    settings: MdctSettings

    @property
    def hop_length(self) -> int:
        return self.settings.frame_length // 2

    @property
    def num_bins(self) -> int:
        settings = self.settings
        bins = settings.frame_length // 2
        if not settings.max_frequency:
            return bins
        if not settings.max_frequency > 0:
            raise ValueError("max_frequency must be positive, or 0 for all bins")
        below = round(settings.max_frequency / self.sample_rate * settings.frame_length)
        return min(bins, max(below, 1))

    def transform(self, mixture_BCT: Array) -> Array:
        return transforms.mdct(
            mixture_BCT, window=transforms.sine(self.settings.frame_length)
        )

    def inverse(self, coefficients_BSCNF: Array, length: int) -> Array:
        window = transforms.sine(self.settings.frame_length)
        return transforms.imdct(coefficients_BSCNF, window=window, length=length)
