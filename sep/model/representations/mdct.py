"""The modified discrete cosine transform: as many numbers as samples."""

from jax import Array

from sep.model import transforms
from sep.model.representations.masking import Signed
from sep.model.representations.settings import MdctSettings


class Mdct(Signed):
    """Compressed coefficients in, a real mask of any sign out; K = 1.

    Frames of 2 F samples that overlap by half have F coefficients each: critically
    sampled, real, and exact by cancellation of time-domain aliasing (Princen & Bradley
    1986; Princen, Johnson & Bradley 1987), as audio codecs use it. Inverts exactly,
    wherever the mixture's coefficient is not zero. But coefficients of a steady tone
    change with its phase from frame to frame, and the mask has to follow.

    Attributes:
      frame_length: samples (2 F), a multiple of 4; the hop is half of it.
      max_frequency: Hz; the network sees bins up to here. 0 means every bin.
    """

    settings: MdctSettings

    @property
    def hop_length(self) -> int:
        return self.settings.frame_length // 2

    @property
    def num_bins(self) -> int:
        bins = self.settings.frame_length // 2
        if not self.settings.max_frequency:
            return bins
        if not self.settings.max_frequency > 0:
            raise ValueError("max_frequency must be positive, or 0 for every bin")
        wanted = round(
            self.settings.max_frequency / self.sample_rate * self.settings.frame_length
        )
        return min(bins, max(wanted, 1))

    def transform(self, mixture_BCT: Array) -> Array:
        return transforms.mdct(
            mixture_BCT, window=transforms.sine(self.settings.frame_length)
        )

    def inverse(self, coefficients_BSCNF: Array, length: int) -> Array:
        window = transforms.sine(self.settings.frame_length)
        return transforms.imdct(coefficients_BSCNF, window=window, length=length)
