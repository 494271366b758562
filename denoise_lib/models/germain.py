"""Dilated context aggregation network: plain convolutions on the waveform, about 1 s wide."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoise_lib.models.base import Denoiser

SLOPE = 0.2  # of the leaky ReLU below zero


class AdaptiveNorm(nn.Module):
    """``w x + v BN(x)`` with two learned numbers: the network decides how much to normalise.

    BN has no scale or shift of its own. It starts as the identity, w = 1 and v = 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.plain = nn.Parameter(torch.ones(()))
        self.normed = nn.Parameter(torch.zeros(()))
        self.norm = nn.BatchNorm1d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, time) -> the same shape."""
        return self.plain * x + self.normed * self.norm(x)  # (batch, channels, time)


class DilatedContextNet(Denoiser):
    """3x1 convolutions with dilations 1, 2, 4, ..., one more without, and a 1x1 to the waveform.

    Each 3x1 convolution is followed by :class:`AdaptiveNorm` and a leaky ReLU, the last 1x1 by
    nothing. Every layer pads with zeros, so all are as long as the waveform.

    Args:
        channels: Width of every layer.
        levels: Dilated layers; the last dilation is ``2 ** (levels - 1)``.

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    References:
        Germain, Chen, Koltun, "Speech Denoising with Deep Feature Losses", Interspeech 2019
        (arXiv 1806.10522), and the program published with it; 16 layers, the input counted. Differs
        from them in that clips are normalised with running statistics after training (the program
        goes on using the batch's), in He's initial weights, which keep the variance through the
        layers, and in the loss, which is the one that all networks here are trained with.
    """

    name = "germain"

    PRESETS = {
        # The paper's: 64 channels, dilations 1..4096, 0.16 M parameters, 2 ** 14 + 1 samples seen.
        "paper": {"channels": 64, "levels": 13},
        # Sees as much, at a tenth of the time.
        "light": {"channels": 16, "levels": 13},
    }

    def __init__(self, channels: int = 64, levels: int = 13) -> None:
        super().__init__()
        if channels < 1 or levels < 1:
            raise ValueError(
                "DilatedContextNet: channels and levels must be 1 or more, "
                f"got {channels} and {levels}"
            )
        widths = [1] + levels * [channels]
        dilations = [2**level for level in range(levels)] + [1]
        self.layers = nn.ModuleList(
            nn.Conv1d(width, channels, 3, padding=dilation, dilation=dilation)
            for width, dilation in zip(widths, dilations, strict=True)
        )
        self.norms = nn.ModuleList(AdaptiveNorm(channels) for _ in dilations)
        self.output = nn.Conv1d(channels, 1, 1)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            nn.init.zeros_(layer.bias)

    @property
    def receptive_field(self) -> int:
        """Samples that one output sample depends on, ``2 ** (levels + 1) + 1``."""
        return 1 + sum(2 * layer.dilation[0] for layer in self.layers)

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on."""
        return self.receptive_field // 2

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        x = noisy[:, None]  # (batch, 1, time)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.leaky_relu(norm(layer(x)), SLOPE)
        return self.output(x)[:, 0]
