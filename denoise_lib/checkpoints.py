"""Alias of :mod:`denoise_lib.models.checkpoints`, kept because older documents name it."""

from denoise_lib.models.checkpoints import (  # noqa: F401
    load_model,
    load_pretrained,
    pretrained_names,
    read_record,
    save_model,
)
from denoise_lib.paths import PRETRAINED  # noqa: F401
