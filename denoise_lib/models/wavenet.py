"""Denoising WaveNet: non-causal, gated, dilated convolutions on the waveform."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoise_lib.models.base import Denoiser


class GatedLayer(nn.Module):
    """Dilated 3x1 convolution, tanh x sigmoid gate, 1x1 convolution to residual and skip."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.dilated = nn.Conv1d(channels, 2 * channels, 3, dilation=dilation)
        self.out = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, time) -> residual and skip, both shorter by ``2 * dilation``."""
        filtered, gate = self.dilated(x).chunk(2, dim=1)
        residual, skip = self.out(torch.tanh(filtered) * torch.sigmoid(gate)).chunk(2, dim=1)
        return x[..., self.dilation : -self.dilation] + residual, skip


class DenoisingWaveNet(Denoiser):
    """Predicts a whole target field at once from the samples around it.

    No convolution pads: the waveform is padded once with ``context`` zeros at both ends, so a
    stretch cut out of a long file together with its context gives the same samples.

    Args:
        channels: Width of the residual layers.
        stacks: Repetitions of the dilations 1, 2, 4, ... .
        depth: Layers in a stack; the last dilation is ``2 ** (depth - 1)``.
        final: Channels of the two 3x1 convolutions after the skip sum.

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    References:
        Rethage, Pons, Serra, "A Wavenet for Speech Denoising", ICASSP 2018 (arXiv 1706.07162),
        sec. 3. Differs from it in that no speaker is given to the network.
    """

    name = "wavenet"
    loss = "energy_conserving"  # the paper's

    PRESETS = {
        # The paper's: 3 stacks of dilations 1..512, 128 channels, 6.3 M parameters.
        "paper": {"channels": 128, "stacks": 3, "depth": 10, "final": (2048, 256)},
        # Two cores train this one in a minute or two.
        "light": {"channels": 16, "stacks": 2, "depth": 8, "final": (64, 32)},
    }

    def __init__(
        self,
        channels: int = 128,
        stacks: int = 3,
        depth: int = 10,
        final: tuple[int, int] = (2048, 256),
    ) -> None:
        super().__init__()
        self.input = nn.Conv1d(1, channels, 3)
        self.layers = nn.ModuleList(
            GatedLayer(channels, 2**level) for _ in range(stacks) for level in range(depth)
        )
        self.final = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(channels, final[0], 3),
            nn.ReLU(),
            nn.Conv1d(final[0], final[1], 3),
            nn.ReLU(),
            nn.Conv1d(final[1], 1, 1),
        )

    @property
    def stack_receptive_field(self) -> int:
        """Samples that the dilated layers see, the figure that the paper states (6,139)."""
        return 1 + sum(2 * layer.dilation for layer in self.layers)

    @property
    def receptive_field(self) -> int:
        """Samples that one output sample depends on, the three 3x1 convolutions included."""
        return self.stack_receptive_field + 3 * 2

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on."""
        return self.receptive_field // 2

    @property
    def margin(self) -> int:
        """Only samples whose whole context lies inside the crop are scored: the target field."""
        return self.context

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        return self.target_field(F.pad(noisy, (self.context, self.context)))

    def target_field(self, noisy: Tensor) -> Tensor:
        """(batch, time + 2 context) -> (batch, time): the part whose whole context is given."""
        length = noisy.shape[-1] - 2 * self.context
        x = self.input(noisy[:, None])
        skips: Tensor | float = 0.0
        for layer in self.layers:
            x, skip = layer(x)
            # Later layers are shorter; only what the final 3x1 convolutions need is summed.
            surplus = (skip.shape[-1] - length - 4) // 2
            skips = skips + skip[..., surplus : surplus + length + 4]
        return self.final(skips)[:, 0]
