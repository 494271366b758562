"""In an environment of its own: a training step of asteroid's DCUNet for each line that is read.

The first line gives the batch and the samples of a crop; the answer to every further
line is the seconds of the processor that one step took.
"""

import sys
import time

import torch
from asteroid.models import DCUNet

batch, samples = map(int, sys.stdin.readline().split())
torch.set_num_threads(1)
torch.manual_seed(0)
# The frame of ours, 640 samples every 160, in place of its own 1024 every 256.
model = DCUNet(
    "DCUNet-10", stft_n_filters=640, stft_kernel_size=640, stft_stride=160, fix_length_mode="pad"
)
noisy, clean = 0.05 * torch.randn(2, batch, samples)
print(sum(each.numel() for each in model.parameters()), flush=True)
for _ in sys.stdin:
    began = time.process_time()
    model.zero_grad()
    (model(noisy)[:, 0] - clean).square().mean().backward()
    print(time.process_time() - began, flush=True)
