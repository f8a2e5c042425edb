"""From mel frames to audio without a model: the levels of the frames, and phases that fit them (Griffin and Lim, 1984).

Shapes: N frames, F bands, K frequencies, T samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.audio.mel import MelSettings, mel_bands, transform_length
from wavenet_pl.audio.torchaudio_door import torchaudio

_ITERATIONS = 60
_MOMENTUM = 0.99
"""Of the fast version (Perraudin et al., 2013)."""


def griffin_lim(
    frames_NF: npt.NDArray[np.float16], settings: MelSettings, sample_rate: int, num_samples: int
) -> npt.NDArray[np.float32]:
    """Audio (T,) whose mel frames are nearly these; phases begin at random, the same every time."""
    window_W, weights_KF = mel_bands(settings, sample_rate)
    energy_NF = 10 ** ((1 - frames_NF.astype(np.float64)) * settings.floor_db / 10)
    power_NK = np.maximum(energy_NF @ np.linalg.pinv(weights_KF), 1e-12)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        audio_T = torchaudio().functional.griffinlim(
            torch.from_numpy(power_NK.T), torch.from_numpy(window_W), transform_length(settings),
            settings.hop_length, settings.window_length, 2.0, _ITERATIONS, _MOMENTUM, None, True,
        )  # fmt: skip
    # There the first frame has its middle at the first sample, and here half a hop after it.
    shifted_T = np.pad(audio_T.numpy(), (settings.hop_length // 2, num_samples))
    return np.clip(shifted_T[:num_samples], -1, 1).astype(np.float32)
