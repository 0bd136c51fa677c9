"""Separators of Sep in PyTorch, with the parameters of Sep's, to be timed against."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from sep.model.consistency import CELL
from sep.model.settings import ModelSettings
from sep.model.transforms import leading_frames, num_frames


def magnitude_lstm(model: ModelSettings, params: dict, sources: int):
    """`lstm` on `magnitude` as a PyTorch module (B, C, T) -> (B, S, C, T)."""
    spectrogram = model.representation_settings
    network = model.architecture_settings
    hidden = network.width // 2
    n_fft, hop = spectrogram.n_fft, spectrogram.hop_length
    kernels, layers = params["architecture"], network.depth
    bins, before = len(params["standardise"]["mean"]), leading_frames(n_fft, hop) * hop
    window = torch.hann_window(n_fft)

    def tensor(array) -> torch.Tensor:
        return torch.from_numpy(np.array(array))

    def filled(module: nn.Module, **values) -> nn.Module:
        module.load_state_dict({name: tensor(value) for name, value in values.items()})
        return module

    def dense(index: int) -> nn.Module:
        kernel, bias = (kernels[f"Dense_{index}"][name] for name in ("kernel", "bias"))
        return filled(nn.Linear(*kernel.shape), weight=kernel.T, bias=bias)

    def norm() -> nn.Module:
        scale, bias = (kernels["LayerNorm_0"][name] for name in ("scale", "bias"))
        return filled(nn.LayerNorm(len(scale), eps=1e-6), weight=scale, bias=bias)

    def prelu(index: int) -> nn.Module:
        slope = np.reshape(kernels[f"PReLU_{index}"]["negative_slope"], 1)
        return filled(nn.PReLU(), weight=slope)

    def lstm() -> nn.Module:
        values = {}
        for layer in range(layers):
            for direction, end in enumerate((f"l{layer}", f"l{layer}_reverse")):
                for ours, theirs in ("input", "ih"), ("recurrent", "hh"):
                    kernel = kernels[f"bilstm_{layer}"][ours][direction]
                    values[f"weight_{theirs}_{end}"] = reordered(kernel).T
                bias_G = reordered(kernels[f"bilstm_{layer}"]["bias"][direction])
                values |= {f"bias_ih_{end}": bias_G, f"bias_hh_{end}": 0 * bias_G}
        made = nn.LSTM(2 * hidden, hidden, layers, bidirectional=True, batch_first=True)
        for name, parameter in made.named_parameters():
            parameter.requires_grad_(not name.startswith("bias_hh"))  # Sep has one bias
        return filled(made, **values)

    def reordered(array):
        i, f, o, g = np.split(np.asarray(array), 4, axis=-1)
        return np.concatenate([i, f, g, o], -1)

    class Port(nn.Module):
        def __init__(self):
            super().__init__()
            mean_FK, deviation_FK = map(params["standardise"].get, ("mean", "deviation"))
            self.mean_F = nn.Parameter(tensor(mean_FK[:, 0]))
            self.deviation_F = nn.Parameter(tensor(deviation_FK[:, 0]))
            self.dense = nn.ModuleList(map(dense, range(4)))
            self.prelu = nn.ModuleList(map(prelu, range(2)))
            self.norm, self.lstm = norm(), lstm()

        def forward(self, mixture_BCT):
            batch, channels, length = mixture_BCT.shape
            frames = num_frames(length, n_fft, hop)
            after = (frames - 1) * hop - before - length
            spectrum_BFN = torch.stft(
                F.pad(mixture_BCT.flatten(0, 1), (before, after)),
                **{"n_fft": n_fft, "hop_length": hop, "window": window},
                **{"pad_mode": "constant", "return_complex": True},
            )
            seen_BNF = spectrum_BFN[:, :bins].mT
            power_BNF = seen_BNF.real**2 + seen_BNF.imag**2 + 1e-12
            features_BNF = power_BNF ** (spectrogram.compression / 2)
            if model.level_free:
                features_BNF = F.layer_norm(features_BNF, [bins], eps=1e-6)
            features_BNF = (features_BNF - self.mean_F) / self.deviation_F
            compressed_BNK = self.prelu[0](self.dense[0](features_BNF))
            heard_BNK, _ = self.lstm(self.norm(compressed_BNK))
            both_BNK = compressed_BNK + self.dense[1](heard_BNK)
            both_BNK = self.prelu[1](self.dense[2](both_BNK))
            estimates_BNFS = self.dense[3](both_BNK).unflatten(-1, (bins, sources))
            mask_BSFN = F.softplus(estimates_BNFS).permute(0, 3, 2, 1)
            above = n_fft // 2 + 1 - bins
            highest_BSFN = mask_BSFN[:, :, -1:].expand(-1, -1, above, -1)
            masked_BSFN = torch.cat([mask_BSFN, highest_BSFN], 2) * spectrum_BFN[:, None]
            wave_BT = torch.istft(
                masked_BSFN.flatten(0, 1),
                **{"n_fft": n_fft, "hop_length": hop, "window": window},
                length=before + length,
            )[:, before:]
            waves_BSCT = wave_BT.unflatten(0, (batch, channels, sources)).transpose(1, 2)
            return share_rest(mixture_BCT, waves_BSCT)

    return Port()


def share_rest(mixture_BCT, sources_BSCT):
    """`sep.model.consistency.share_rest` in PyTorch."""
    _, sources, _, length = sources_BSCT.shape
    position_K = (torch.arange(CELL) + 0.5) / CELL - 0.5
    sides = [(-position_K).clamp(min=0), 1 - position_K.abs(), position_K.clamp(min=0)]
    cells_BSCNK = F.pad(sources_BSCT, (0, -length % CELL)).unflatten(-1, (-1, CELL))
    energy_BSCN = (cells_BSCNK**2).mean(-1)
    total_BSCN = energy_BSCN.sum(1, keepdim=True)
    heard_BSCN = total_BSCN > 1e-16
    share_BSCN = energy_BSCN / torch.where(heard_BSCN, total_BSCN, 1.0)
    weight_BSCN = torch.where(heard_BSCN, share_BSCN, 1 / sources)
    ends = weight_BSCN[..., :1], weight_BSCN, weight_BSCN[..., -1:]
    weight_BSCNK = torch.cat(ends, -1).unfold(-1, 3, 1) @ torch.stack(sides)
    rest_BCT = mixture_BCT - sources_BSCT.sum(1)
    return sources_BSCT + weight_BSCNK.flatten(-2)[..., :length] * rest_BCT[:, None]


def snr(references_BSCT, estimates_BSCT):
    """`sep.training.losses.snr` in PyTorch."""
    energy_B = (references_BSCT.sum(1) ** 2).sum((1, 2))[:, None] + 1e-6
    error_BS = ((references_BSCT - estimates_BSCT) ** 2).sum((2, 3))
    return (10 * (error_BS / energy_B + 1e-3).log10()).mean()


# By architecture and representation: (model, params, sources) -> module.
PORTS = {"lstm on magnitude": magnitude_lstm}
