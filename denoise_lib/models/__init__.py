"""The networks: waveform (batch, time) in, waveform of the same shape out, for any length.

Every model carries ``config`` (its constructor's arguments, stored in checkpoints), ``context``
(samples on either side that an output sample can depend on) and ``stride`` (a shift of the input
by that many samples shifts the output alike); the last two serve to process long files in chunks.
"""

from denoise_lib.models.autoencoder import ConvAutoencoder
from denoise_lib.models.dcunet import DCUnet
from denoise_lib.models.germain import DilatedContextNet
from denoise_lib.models.informed import InformedDCUnet
from denoise_lib.models.unet import UNet
from denoise_lib.models.wavenet import DenoisingWaveNet

BY_NAME = {
    "autoencoder": ConvAutoencoder,
    "wavenet": DenoisingWaveNet,
    "dcunet": DCUnet,
    "unet": UNet,
    "germain": DilatedContextNet,
    "informed": InformedDCUnet,
}

__all__ = [
    "BY_NAME",
    "ConvAutoencoder",
    "DCUnet",
    "DenoisingWaveNet",
    "DilatedContextNet",
    "InformedDCUnet",
    "UNet",
]
