"""What a user would try instead of a network trained here: waveform in, waveform out, untrained.

Every baseline is called like a network, (batch, time) -> (batch, time) at 16 kHz, and carries
``name``, ``stride`` and ``context`` as the networks carry the last two, so that
``inference.process`` and ``metrics.evaluate`` take it. ``process`` hands a recording over in chunks
of 10 s with ``context`` on either side: a clip of up to 10 s is one piece. Beyond that, methods
that adapt to the signal are run in on the context of every chunk instead of on the whole past.

``Gain`` is no baseline but a control: what wSDR gives for a change of level alone.
"""

import torch

from denoise_lib.errors import UserError
from denoise_lib.models.baselines.gain import Gain
from denoise_lib.models.baselines.identity import Identity
from denoise_lib.models.baselines.log_mmse import LogMMSE
from denoise_lib.models.baselines.neighbourhood import Neighbourhood
from denoise_lib.models.baselines.rnnoise import RNNoise
from denoise_lib.models.baselines.spectral_gating import SpectralGating
from denoise_lib.models.checkpoints import load_pretrained

# Name in results -> class; called without arguments, each has its documented settings.
BASELINES = {
    "spectral_gating": SpectralGating,
    "log_mmse": LogMMSE,
    "rnnoise": RNNoise,
    "neighbourhood": Neighbourhood,
}

__all__ = [
    "BASELINES", "Gain", "Identity", "LogMMSE", "Neighbourhood", "RNNoise", "SpectralGating",
    "denoiser",
]  # fmt: skip


def denoiser(name: str) -> torch.nn.Module:
    """A baseline by its name, or what :func:`load_pretrained` finds.

    Raises:
        UserError: There is no such name or file.
    """
    if name in BASELINES:
        return BASELINES[name]()
    try:
        return load_pretrained(name)
    except UserError as error:
        if name.endswith(".safetensors"):
            raise
        raise UserError(f"{error}; or a baseline: {', '.join(BASELINES)}") from None
