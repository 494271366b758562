"""The networks and baselines: waveform (batch, time) in, waveform of the same shape out.

:class:`denoise_lib.models.base.Denoiser` documents their common attributes. The classes below are
loaded on first use, so that reading a checkpoint of one network loads no other.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "autoencoder": ["ConvAutoencoder"],
        "causal": ["CausalNet"],
        "dcunet": ["DCUnet"],
        "germain": ["DilatedContextNet"],
        "informed": ["InformedDCUnet"],
        "unet": ["UNet"],
        "wavenet": ["DenoisingWaveNet"],
    },
)
