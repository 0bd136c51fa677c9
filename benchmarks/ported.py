"""Separators of Sep in PyTorch, with Sep's parameters, to compare speeds.

Shapes: B batch, S source, C channel, T sample, N frame, F bin, K features of a hidden
layer, G gates of the LSTM's cells.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sep.model.consistency import CELL
from sep.model.settings import ModelSettings
from sep.model.transforms import leading_frames, num_frames

Params = Mapping[str, Any]  # a tree of arrays, as Flax names them


class MagnitudeLstm(nn.Module):
    """`lstm` on `magnitude`: mixture (B, C, T) -> sources (B, S, C, T)."""

    def __init__(self, model: ModelSettings, params: Params, sources: int) -> None:
        """Copies the parameters.

        Args:
          model: settings of the separator.
          params: its parameters.
          sources: number of outputs.
        """
        super().__init__()
        spectrogram = model.representation_settings
        self.n_fft, self.hop = spectrogram.n_fft, spectrogram.hop_length
        self.compression, self.level_free = spectrogram.compression, model.level_free
        self.sources = sources
        self.window = torch.hann_window(self.n_fft)
        standardise, layers = params["standardise"], params["architecture"]
        self.mean_F = nn.Parameter(_tensor(standardise["mean"][:, 0]))
        self.deviation_F = nn.Parameter(_tensor(standardise["deviation"][:, 0]))
        self.dense = nn.ModuleList(_dense(layers[f"Dense_{i}"]) for i in range(4))
        self.prelu = nn.ModuleList(_prelu(layers[f"PReLU_{i}"]) for i in range(2))
        self.norm = _norm(layers["LayerNorm_0"])
        depth = model.architecture_settings.depth
        self.lstm = _lstm([layers[f"bilstm_{i}"] for i in range(depth)])

    def forward(self, mixture_BCT: Tensor) -> Tensor:
        batch, channels, length = mixture_BCT.shape
        bins = len(self.mean_F)
        before = leading_frames(self.n_fft, self.hop) * self.hop
        frames = num_frames(length, self.n_fft, self.hop)
        after = (frames - 1) * self.hop - before - length
        transform = {"n_fft": self.n_fft, "hop_length": self.hop, "window": self.window}
        spectrum_BFN = torch.stft(
            F.pad(mixture_BCT.flatten(0, 1), (before, after)),
            **transform,
            pad_mode="constant",
            return_complex=True,
        )
        estimates_BNFS = self.estimate(spectrum_BFN[:, :bins].mT)
        mask_BSFN = F.softplus(estimates_BNFS).permute(0, 3, 2, 1)
        above = self.n_fft // 2 + 1 - bins
        highest_BSFN = mask_BSFN[:, :, -1:].expand(-1, -1, above, -1)
        masked_BSFN = torch.cat([mask_BSFN, highest_BSFN], 2) * spectrum_BFN[:, None]
        wave_BT = torch.istft(
            masked_BSFN.flatten(0, 1), **transform, length=before + length
        )[:, before:]
        waves_BSCT = wave_BT.unflatten(0, (batch, channels, self.sources)).transpose(1, 2)
        return share_rest(mixture_BCT, waves_BSCT)

    def estimate(self, spectrum_BNF: Tensor) -> Tensor:
        """Estimates (B, N, F, S) from the lowest bins of the spectrum."""
        power_BNF = spectrum_BNF.real**2 + spectrum_BNF.imag**2 + 1e-12
        features_BNF = power_BNF ** (self.compression / 2)
        bins = features_BNF.shape[-1]
        if self.level_free:
            features_BNF = F.layer_norm(features_BNF, [bins], eps=1e-6)
        features_BNF = (features_BNF - self.mean_F) / self.deviation_F
        compressed_BNK = self.prelu[0](self.dense[0](features_BNF))
        hidden_BNK, _ = self.lstm(self.norm(compressed_BNK))
        both_BNK = compressed_BNK + self.dense[1](hidden_BNK)
        both_BNK = self.prelu[1](self.dense[2](both_BNK))
        return self.dense[3](both_BNK).unflatten(-1, (bins, self.sources))


def _tensor(array: ArrayLike) -> Tensor:
    return torch.from_numpy(np.array(array))


def _filled(module: nn.Module, **values: ArrayLike) -> nn.Module:
    module.load_state_dict({name: _tensor(value) for name, value in values.items()})
    return module


def _dense(params: Params) -> nn.Module:
    kernel = params["kernel"]
    return _filled(nn.Linear(*kernel.shape), weight=kernel.T, bias=params["bias"])


def _norm(params: Params) -> nn.Module:
    scale, bias = params["scale"], params["bias"]
    return _filled(nn.LayerNorm(len(scale), eps=1e-6), weight=scale, bias=bias)


def _prelu(params: Params) -> nn.Module:
    return _filled(nn.PReLU(), weight=np.reshape(params["negative_slope"], 1))


def _lstm(layers: list[Params]) -> nn.Module:
    """A bidirectional LSTM of several layers."""
    values = {}
    for index, params in enumerate(layers):
        for direction, end in enumerate((f"l{index}", f"l{index}_reverse")):
            for ours, theirs in ("input", "ih"), ("recurrent", "hh"):
                values[f"weight_{theirs}_{end}"] = _reordered(params[ours][direction]).T
            bias_G = _reordered(params["bias"][direction])
            values |= {f"bias_ih_{end}": bias_G, f"bias_hh_{end}": 0 * bias_G}
    width, hidden = layers[0]["input"].shape[1], layers[0]["recurrent"].shape[1]
    module = nn.LSTM(width, hidden, len(layers), bidirectional=True, batch_first=True)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not name.startswith("bias_hh"))  # Sep has one bias
    return _filled(module, **values)


def _reordered(array: ArrayLike) -> np.ndarray:
    """Gates in PyTorch's order; Sep has them as i, f, o, g on the last axis."""
    i, f, o, g = np.split(np.asarray(array), 4, axis=-1)
    return np.concatenate([i, f, g, o], -1)


def share_rest(mixture_BCT: Tensor, sources_BSCT: Tensor) -> Tensor:
    """`sep.model.consistency.share_rest` in PyTorch; K is a sample of a cell."""
    _, sources, _, length = sources_BSCT.shape
    position_K = (torch.arange(CELL) + 0.5) / CELL - 0.5
    sides = [(-position_K).clamp(min=0), 1 - position_K.abs(), position_K.clamp(min=0)]
    cells_BSCNK = F.pad(sources_BSCT, (0, -length % CELL)).unflatten(-1, (-1, CELL))
    energy_BSCN = (cells_BSCNK**2).mean(-1)
    total_BSCN = energy_BSCN.sum(1, keepdim=True)
    audible_BSCN = total_BSCN > 1e-16
    share_BSCN = energy_BSCN / torch.where(audible_BSCN, total_BSCN, 1.0)
    weight_BSCN = torch.where(audible_BSCN, share_BSCN, 1 / sources)
    ends = weight_BSCN[..., :1], weight_BSCN, weight_BSCN[..., -1:]
    weight_BSCNK = torch.cat(ends, -1).unfold(-1, 3, 1) @ torch.stack(sides)
    rest_BCT = mixture_BCT - sources_BSCT.sum(1)
    return sources_BSCT + weight_BSCNK.flatten(-2)[..., :length] * rest_BCT[:, None]


def snr(references_BSCT: Tensor, estimates_BSCT: Tensor) -> Tensor:
    """`sep.training.losses.snr` in PyTorch."""
    energy_B = (references_BSCT.sum(1) ** 2).sum((1, 2))[:, None] + 1e-6
    error_BS = ((references_BSCT - estimates_BSCT) ** 2).sum((2, 3))
    return (10 * (error_BS / energy_B + 1e-3).log10()).mean()


# By architecture and representation.
PORTS: dict[str, Callable[[ModelSettings, Params, int], nn.Module]] = {
    "lstm on magnitude": MagnitudeLstm
}
