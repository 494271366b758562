"""What a user would try instead of a network trained here: waveform in, waveform out, untrained.

Every baseline is a :class:`~denoise_lib.models.base.Denoiser` like the networks. ``process`` hands
a recording over in chunks of 10 s with ``context`` on either side, so a clip of up to 10 s is one
piece. Beyond that, methods that adapt to the signal are run in on the context of every chunk
instead of on the whole past.

``Gain`` and ``Identity`` are no baselines but controls, ``Chain`` puts several in a row.
"""

import lazy_loader

# What one would try, by its name; made without arguments, each has its documented settings.
BASELINES = ("spectral_gating", "log_mmse", "rnnoise", "neighbourhood")

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
    },
)
__all__ += ["BASELINES"]
