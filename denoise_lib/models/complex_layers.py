"""Complex-valued layers on real tensors (batch, 2, channels, freq, frames).

Axis 1 holds the real and the imaginary part. A complex convolution is then one real convolution
with a block weight, which is faster than four small ones and needs no complex autograd.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ComplexConv2d(nn.Module):
    """Complex convolution, or its transpose, with "same" padding.

    ``(A + iB) * (x + iy) = (A * x - B * y) + i (B * x + A * y)``
    (Trabelsi et al., "Deep Complex Networks", ICLR 2018, sec. 3.2).

    Args:
        inputs, outputs: Complex channels.
        kernel: (freq, frames), odd.
        stride: (freq, frames).
        transposed: Upsample by ``stride`` instead.
        tied: The four real convolutions share two weights, as above; otherwise each has its own,
            which costs as much and knows nothing of complex numbers.

    Shape:
        (batch, 2, inputs, freq, frames) -> (batch, 2, outputs, ceil(freq / stride), ...);
        transposed: the size that is asked for.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        transposed: bool = False,
        tied: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.transposed = stride, transposed
        self.padding = (kernel[0] // 2, kernel[1] // 2)
        # Of the real and the imaginary part; untied, also by which part is written.
        parts = (2,) if tied else (2, 2)
        self.weight = nn.Parameter(torch.empty(*parts, outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(2, outputs))
        # He initialisation shared by the two parts (Trabelsi sec. 3.6: the magnitude is
        # Rayleigh-distributed when both parts are normal with this deviation).
        fan_in = inputs * kernel[0] * kernel[1]
        if transposed:
            fan_in /= stride[0] * stride[1]
        nn.init.normal_(self.weight, std=fan_in**-0.5)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Convolve; ``size`` is what a transposed one is asked for, (freq, frames)."""
        rows = self.weight
        if rows.ndim == 5:
            real, imaginary = self.weight
            rows = ((real, -imaginary), (imaginary, real))
        # (2 outputs, 2 inputs, freq, frames)
        weight = torch.cat([torch.cat([*row], dim=1) for row in rows])
        x = x.flatten(1, 2)
        if self.transposed:
            # All that the stride allows, of which what is asked for is kept.
            most = [step - 1 for step in self.stride]
            # The bias is added after: given to the transpose, it takes a slow path on processors.
            x = F.conv_transpose2d(x, weight.transpose(0, 1), None, self.stride, self.padding, most)
            x = x[..., : size[0], : size[1]]
            x = x + self.bias.flatten()[:, None, None].to(x.dtype)
        else:
            x = F.conv2d(x, weight, self.bias.flatten(), self.stride, self.padding)
        return x.unflatten(1, (2, -1))


class ComplexBatchNorm2d(nn.Module):
    """Whitens real and imaginary part together, per channel.

    The 2x2 covariance is taken to the identity by the inverse of its square root, then a learned
    symmetric 2x2 matrix and a complex shift follow.

    Shape:
        (batch, 2, channels, freq, frames) -> the same.

    References:
        Trabelsi et al., "Deep Complex Networks", ICLR 2018, sec. 3.5.
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        # gamma: (rr, ii, ri) per channel, started so that the output's total variance is 1.
        gamma = torch.tensor([2**-0.5, 2**-0.5, 0.0])
        self.gamma = nn.Parameter(gamma[:, None].repeat(1, channels))
        self.beta = nn.Parameter(torch.zeros(2, channels))
        self.register_buffer("mean", torch.zeros(2, channels))
        self.register_buffer("covariance", gamma.square()[:, None].repeat(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, (batch, 2, channels, freq, frames) -> the same."""
        # Sums over thousands of values need 32 bits, also under mixed precision.
        dtype, x = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))
        if self.training:
            mean, covariance = self._statistics(x)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.covariance.lerp_(covariance, self.momentum)
        else:
            mean, covariance = self.mean, self.covariance
        (rr, ri), (ir, ii) = matrix = self._matrix(covariance)
        shift = self.beta - (matrix * mean).sum(1)  # (2, channels)
        real, imaginary = x.unbind(1)
        view = (slice(None), None, None)  # channels -> (channels, 1, 1)
        return torch.stack(
            [
                rr[view] * real + ri[view] * imaginary + shift[0][view],
                ir[view] * real + ii[view] * imaginary + shift[1][view],
            ],
            dim=1,
        ).to(dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (2, channels) and covariance rr, ii, ri (3, channels) over batch and positions."""
        mean = self.mean_of_all(x.mean((0, 3, 4)))
        real, imaginary = (x - mean[:, :, None, None]).unbind(1)
        products = (real.square(), imaginary.square(), real * imaginary)
        covariance = torch.stack([each.mean((0, 2, 3)) for each in products])
        return mean, self.mean_of_all(covariance)

    @staticmethod
    def mean_of_all(mean: Tensor) -> Tensor:
        """The mean over all processes; :func:`processes.synchronised` puts another in its place."""
        return mean

    def _matrix(self, covariance: Tensor) -> Tensor:
        """Gamma times covariance ** -1/2, per channel: (2, 2, channels)."""
        rr, ii, ri = covariance
        rr, ii = rr + self.eps, ii + self.eps
        # Square root of a symmetric 2x2 matrix V: (V + s I) / t, s = sqrt(det V),
        # t = sqrt(trace V + 2 s); its inverse follows by Cramer's rule, det of the root being s.
        s = (rr * ii - ri.square()).clamp_min(self.eps**2).sqrt()
        t = (rr + ii + 2 * s).sqrt()
        wrr, wii, wri = (ii + s) / (s * t), (rr + s) / (s * t), -ri / (s * t)
        grr, gii, gri = self.gamma
        first = torch.stack([grr * wrr + gri * wri, grr * wri + gri * wii])
        second = torch.stack([gri * wrr + gii * wri, gri * wri + gii * wii])
        return torch.stack([first, second])


def complex_leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """Leaky CReLU: leaky ReLU on the real and on the imaginary part (Choi et al., sec. 3.1)."""
    return F.leaky_relu(x, slope)
