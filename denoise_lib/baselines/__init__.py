"""What a user would try instead of a network trained here: waveform in, waveform out, untrained.

Every baseline is called like a network, (batch, time) -> (batch, time) at 16 kHz, and carries
``name``, ``stride`` and ``context`` as the networks carry the last two, so that
``inference.process`` and ``metrics.evaluate`` take it. ``process`` hands a recording over in chunks
of 10 s with ``context`` on either side: a clip of up to 10 s is one piece. Beyond that, methods
that adapt to the signal are run in on the context of every chunk instead of on the whole past.

``Gain`` is no baseline but a control: what wSDR gives for a change of level alone.
"""

from denoise_lib.baselines.gain import Gain
from denoise_lib.baselines.log_mmse import LogMMSE
from denoise_lib.baselines.neighbourhood import Neighbourhood, best_neighbourhood
from denoise_lib.baselines.rnnoise import RNNoise
from denoise_lib.baselines.spectral_gating import SpectralGating

# Name in results -> class; called without arguments, each has its documented settings.
BASELINES = {
    "spectral_gating": SpectralGating,
    "log_mmse": LogMMSE,
    "rnnoise": RNNoise,
    "neighbourhood": Neighbourhood,
}

__all__ = [
    "BASELINES", "Gain", "LogMMSE", "Neighbourhood", "RNNoise", "SpectralGating",
    "best_neighbourhood",
]  # fmt: skip
