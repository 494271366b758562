"""Baselines for comparison, none of them trained here: waveform in, waveform out.

Every baseline is a :class:`~denoise_lib.models.base.Denoiser` like the networks. ``process`` hands
a recording over in chunks of 10 s with ``context`` on either side, so a clip of up to 10 s is one
piece. In longer recordings, adaptive methods see only the context of each chunk and not the whole
past.

``Gain`` and ``Identity`` are controls, not baselines. ``Chain`` applies several denoisers in
sequence.
"""

import lazy_loader

# What one would try, by its name; made without arguments, each has its documented settings.
BASELINES = ("spectral_gating", "log_mmse", "rnnoise", "webrtc", "neighbourhood")

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "gain": ["Gain"],
        "chain": ["Chain"],
        "identity": ["Identity"],
        "log_mmse": ["LogMMSE"],
        "neighbourhood": ["Neighbourhood"],
        "rnnoise": ["RNNoise"],
        "spectral_gating": ["SpectralGating"],
        "webrtc": ["WebRTC"],
    },
)
__all__ += ["BASELINES"]
