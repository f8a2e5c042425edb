"""Resampling: audio at another sample rate, all at once or in blocks.

Shape letters: T time, G groups of samples, U samples of a group that come out, K filter length, W samples that a piece
of a group is made of, S samples of that piece.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.torchaudio_door import torchaudio

_LARGEST_FILTER = 2**22
"""Numbers in a resampling filter, 32 MiB. 44,099 Hz to 16,000 Hz would have 700 million."""
_BLOCK = 2**15
"""Samples made at a time, about."""
_PIECE = 16
"""Samples made by one product, about: whole registers of a processor. With more of them the band is wide, and more of
what is multiplied is zero."""
_NOTHING = 1e-16
"""Smaller coefficients are rounding errors of the window's ends; the largest is about 1."""


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
        up, down = _ratio(from_rate, to_rate)
        self._taken = self._made = 0
        self._filter = None if up == down else _filter(up, down)
        self._waiting = np.zeros(self._filter.looks_back if self._filter else 0, np.float32)
        self._products: _Products | None = None

    def push(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The samples that can be made by now; `audio` is what comes next."""
        self._taken += len(audio)
        if self._filter is None:
            return np.asarray(audio, np.float32)
        # Always as many: the order of the additions is part of the result.
        groups = max(1, _BLOCK // self._filter.up)
        step, length = groups * self._filter.down, self._filter.length(groups)
        made, start, held = [np.zeros(0, np.float32)], 0, len(self._waiting)
        while held + len(audio) - start >= length:
            stop = start + length - held
            piece = audio[start - held : stop] if start >= held else self._joined(start, audio[:stop])
            self._products = self._products or _Products(self._filter, groups)
            made.append(self._products.of(piece))
            start += step
        self._waiting = audio[start - held :].copy() if start >= held else self._joined(start, audio)
        result = np.concatenate(made)
        self._made += len(result)
        return result

    def _joined(self, start: int, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.concatenate([self._waiting[start:], audio])

    def finish(self) -> npt.NDArray[np.float32]:
        """The samples that were waiting for what comes next: nothing does."""
        from_rate, to_rate = self._rates
        missing = -(-self._taken * to_rate // from_rate) - self._made
        if self._filter is None or missing <= 0:
            return np.zeros(0, np.float32)
        groups = -(-missing // self._filter.up)
        lacking = self._filter.length(groups) - len(self._waiting)
        self._made += missing
        return _Products(self._filter, groups).of(np.pad(self._waiting, (0, max(0, lacking))))[:missing]


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


@dataclass(frozen=True)
class _Filter:
    """A windowed sinc as products of matrices.

    A group of `down` samples that go in, and of `up` that come out, is so long that it holds all that a piece of it is
    made of. So the rows of a piece's input, one for each group, do not overlap, and are multiplied as they lie there.
    """

    up: int
    down: int
    looks_back: int
    """Samples before the first that the first group needs."""
    pieces: tuple[tuple[int, Any], ...]
    """(first sample of the input, coefficients (W, S)) for each run of samples that come out of a group."""

    def length(self, groups: int) -> int:
        """Samples that so many groups are made of, `looks_back` included."""
        return (groups - 1) * self.down + max(first + band_WS.shape[0] for first, band_WS in self.pieces)


class _Products:
    """What comes out of so many groups, made in memory that the next as many are made in again."""

    def __init__(self, made_by: _Filter, groups: int) -> None:
        import torch

        self._audio_T = torch.empty(made_by.length(groups), dtype=torch.float64)
        self._made_GU = torch.empty(groups, made_by.up, dtype=torch.float64)
        self._products, done = [], 0
        for first, band_WS in made_by.pieces:
            width, columns = band_WS.shape
            rows_GW = self._audio_T.as_strided((groups, width), (made_by.down, 1), first)
            self._products.append((rows_GW, band_WS, self._made_GU.narrow(1, done, columns)))
            done += columns

    def of(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The samples made of `length` of them, or more."""
        import torch

        self._audio_T.numpy()[:] = audio[: len(self._audio_T)]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the order of the additions is part of the result
        try:
            for rows_GW, band_WS, made_GS in self._products:
                torch.mm(rows_GW, band_WS, out=made_GS)
        finally:
            torch.set_num_threads(threads)
        return np.asarray(self._made_GU.numpy().astype(np.float32).reshape(-1))


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> _Filter:
    """Torchaudio's windowed sinc, with the settings that its authors name for resampy's `kaiser_best`."""
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
    kernel_UK = made.kernel[:, 0].numpy()
    counts = np.abs(kernel_UK) > _NOTHING
    begins, ends = counts.argmax(axis=1), counts.shape[1] - counts[:, ::-1].argmax(axis=1)
    longest = math.ceil(_PIECE * down / up) + int((ends - begins).max())
    repeats = max(math.ceil(longest / down), math.ceil(_PIECE / up))
    even = _PIECE // math.gcd(_PIECE, up)  # so many groups are whole pieces
    if (rounded := math.ceil(repeats / even) * even) <= 2 * repeats:
        repeats = rounded
    count = math.ceil(repeats * up / _PIECE)
    edges = [round(number * repeats * up / count) for number in range(count + 1)]
    pieces = []
    for start, stop in pairwise(edges):
        phases, shifts = np.arange(start, stop) % up, np.arange(start, stop) // up * down
        first = int((begins[phases] + shifts).min())
        band_WS = np.zeros((int((ends[phases] + shifts).max()) - first, stop - start))
        for column, (phase, shift) in enumerate(zip(phases, shifts - first, strict=True)):
            begin, end = begins[phase], ends[phase]
            band_WS[shift + begin : shift + end, column] = kernel_UK[phase, begin:end]
        pieces.append((first, torch.from_numpy(band_WS)))
    return _Filter(repeats * up, repeats * down, int(made.width), tuple(pieces))
