"""The plain formulation of a complex network: four real convolutions for each complex one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoise_lib.models.complex_layers import ComplexConv2d


class FourConvolutions(nn.Module):
    """``(A + iB) * (x + iy) = (A * x - B * y) + i (B * x + A * y)``, as it is written.

    Args:
        layer: The complex convolution whose weights it takes, tied.

    Shape:
        As :class:`~denoise_lib.models.complex_layers.ComplexConv2d`.
    """

    def __init__(self, layer: ComplexConv2d) -> None:
        super().__init__()
        self.stride, self.padding, self.transposed = layer.stride, layer.padding, layer.transposed
        self.real, self.imaginary = (nn.Parameter(each.detach().clone()) for each in layer.weight)
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Convolve; ``size`` is what a transposed one is asked for, (freq, frames)."""
        real, imaginary = x.unbind(1)
        out = (
            self._one(real, self.real, size) - self._one(imaginary, self.imaginary, size),
            self._one(real, self.imaginary, size) + self._one(imaginary, self.real, size),
        )
        return torch.stack(out, 1) + self.bias[:, :, None, None].to(x.dtype)

    def _one(self, x: Tensor, weight: Tensor, size: tuple[int, int] | None) -> Tensor:
        if not self.transposed:
            return F.conv2d(x, weight, None, self.stride, self.padding)
        most = [step - 1 for step in self.stride]
        out = F.conv_transpose2d(x, weight.transpose(0, 1), None, self.stride, self.padding, most)
        return out[..., : size[0], : size[1]]


def plain(model: nn.Module) -> nn.Module:
    """A copy of a network, its complex convolutions replaced by four real ones each."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, ComplexConv2d):
                setattr(parent, name, FourConvolutions(layer))
    return model
