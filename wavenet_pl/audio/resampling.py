"""Resampling: audio at another sample rate, all at once or in blocks.

Shape letters: G groups of samples, D samples of a group that go in, U samples that come out, K filter length.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.torchaudio_door import torchaudio

_LARGEST_FILTER = 2**22
"""Numbers in a resampling filter, 32 MiB. 44,099 Hz to 16,000 Hz would have 700 million."""
_BLOCK = 4096
"""Samples made at a time, about."""


def resample(audio: npt.NDArray[np.float32], from_rate: int, to_rate: int) -> npt.NDArray[np.float32]:
    """Mono audio at another sample rate: band-limited interpolation, torchaudio's with a Kaiser window.

    The passband reaches to 0.9 of the lower Nyquist frequency, what would alias is 80 dB down.

    Args:
        audio: (samples,), float32.
        from_rate: its sample rate.
        to_rate: the wanted one.

    Returns:
        (ceil(samples * to_rate / from_rate),), float32; the audio itself where the rates are equal.
    """
    resampler = Resampler(from_rate, to_rate)
    return np.concatenate([resampler.push(audio), resampler.finish()])


class Resampler:
    """`resample` for audio that comes in blocks: the samples do not depend on how it was cut.

    The filter is torchaudio's. It is applied here, in float64, because torchaudio's own convolution takes memory
    for the whole recording times the filter's length.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        if from_rate < 1 or to_rate < 1:
            raise ValueError(f"sample rates are {from_rate} and {to_rate}, expected numbers above 0")
        self._rates = from_rate, to_rate
        self._up, self._down = _ratio(from_rate, to_rate)
        self._same = self._up == self._down
        self._taken = self._made = 0
        self._waiting = np.zeros(0 if self._same else _filter(self._up, self._down)[0], np.float32)

    def push(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The samples that can be made by now; `audio` is what comes next."""
        self._taken += len(audio)
        if self._same:
            return np.asarray(audio, np.float32)
        self._waiting = np.concatenate([self._waiting, audio])
        return self._drain()

    def finish(self) -> npt.NDArray[np.float32]:
        """The samples that were waiting for what comes next: nothing does."""
        if self._same:
            return np.zeros(0, np.float32)
        from_rate, to_rate = self._rates
        missing = max(0, -(-self._taken * to_rate // from_rate) - self._made)
        groups = -(-missing // self._up)
        blocks = -(-groups // self._groups)
        wanted = self._length + (blocks - 1) * self._groups * self._down
        self._waiting = np.pad(self._waiting, (0, max(0, wanted - len(self._waiting))))
        return self._drain()[:missing]

    @property
    def _groups(self) -> int:
        """In one block. A group is `down` samples in, `up` samples out."""
        return max(1, _BLOCK // self._up)

    @property
    def _length(self) -> int:
        """Samples that a block reads."""
        return (self._groups + len(_filter(self._up, self._down)[1]) - 1) * self._down

    def _drain(self) -> npt.NDArray[np.float32]:
        made = [np.zeros(0, np.float32)]
        start, step, length = 0, self._groups * self._down, self._length
        while len(self._waiting) - start >= length:
            made.append(self._filtered(self._waiting[start : start + length]))
            start += step
        self._waiting = self._waiting[start:]
        result = np.concatenate(made)
        self._made += len(result)
        return result

    def _filtered(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the order of the additions is part of the result
        try:
            samples_GD = torch.from_numpy(block.astype(np.float64).reshape(-1, self._down))
            made_GU = torch.zeros(self._groups, self._up, dtype=torch.float64)
            for tap, phases_DU in enumerate(_filter(self._up, self._down)[1]):
                made_GU.addmm_(samples_GD[tap : tap + self._groups], phases_DU)
        finally:
            torch.set_num_threads(threads)
        return np.asarray(made_GU.numpy().astype(np.float32).reshape(-1))


def _ratio(from_rate: int, to_rate: int) -> tuple[int, int]:
    """(up, down): how many samples come out for how many that go in."""
    ratio = Fraction(to_rate, from_rate)
    steep = max(ratio, 1 / ratio)
    # Odd rates, of old or drifting hardware, would need a filter per sample: less than its clock's error is given
    # away. A filter has some small**2 * steep + 128 * small * steep numbers, where small is the lesser term.
    largest = max(1, math.isqrt(int(64**2 + _LARGEST_FILTER / steep)) - 64)
    if min(ratio.numerator, ratio.denominator) > largest:
        ratio = 1 / (1 / ratio).limit_denominator(largest) if ratio < 1 else ratio.limit_denominator(largest)
    return ratio.numerator, ratio.denominator


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> tuple[int, Any]:
    """Torchaudio's windowed sinc: how many samples it looks back, and its taps, a (D, U) matrix for each group.

    The settings are those that its authors name for the quality of resampy's `kaiser_best`.
    """
    import torch

    made = torchaudio().transforms.Resample(
        down,
        up,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
        dtype=torch.float64,
    )
    kernel_UK = made.kernel[:, 0]
    padded_UK = torch.nn.functional.pad(kernel_UK, (0, -kernel_UK.shape[1] % down))
    return int(made.width), padded_UK.reshape(up, -1, down).permute(1, 2, 0).contiguous()
