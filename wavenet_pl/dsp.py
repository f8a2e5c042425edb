"""Signal processing: the one door to torchaudio, resampling and loudness.

Shape letters: G groups of samples, D samples of a group that go in, U samples that come out, K filter length.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

_EXTENSION = "torchaudio._extension"
_LOAD_FAILED = "Could not load this library"

_LARGEST_FILTER = 2**22
"""Numbers in a resampling filter, 32 MiB. 44,099 Hz to 16,000 Hz would have 700 million."""
_BLOCK = 4096
"""Samples made at a time, about."""


@lru_cache(maxsize=1)
def torchaudio() -> types.ModuleType:
    """The module torchaudio, also where its CUDA-linked wheel stands beside a CPU build of torch.

    Its x86-64 Linux wheel then raises OSError for its compiled extension, of which nothing is used here: a stub takes
    its place.

    Raises:
        ImportError: it cannot be loaded for another reason. The message says what to install.
    """
    import torch

    try:
        import torchaudio as module
    except OSError as error:
        if _LOAD_FAILED not in str(error) or torch.version.cuda is not None:
            raise _mismatch(torch.__version__, error) from error
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]  # the half that was imported before the error
        sys.modules[_EXTENSION] = _stub()
        try:
            import torchaudio as module
        except (ImportError, OSError, RuntimeError) as second:
            del sys.modules[_EXTENSION]
            raise _mismatch(torch.__version__, second) from second
    except (ImportError, RuntimeError) as error:  # not installed, or it refuses this release of torch
        raise _mismatch(torch.__version__, error) from error
    return module


def _mismatch(torch_version: str, error: Exception) -> ImportError:
    return ImportError(
        f"torchaudio cannot be loaded beside torch {torch_version} ({error}), expected a matching pair; "
        "run `pip install 'torchaudio>=2.11,<2.12'` and see `wavenet-pl doctor`"
    )


def _stub() -> types.ModuleType:
    """What torchaudio asks of its compiled half, answered with no."""

    def fail_if_no_align(function: Callable[..., Any]) -> Callable[..., NoReturn]:
        def fail(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"torchaudio's {function.__name__} needs its compiled extension, which is not loaded"
            )

        return fail

    stub: Any = types.ModuleType(_EXTENSION)
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = stub._IS_ALIGN_AVAILABLE = False
    stub.fail_if_no_align = fail_if_no_align
    return stub


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


def loudness(audio: npt.NDArray[np.float32], sample_rate: int) -> float:
    """Integrated loudness of mono audio in LUFS (ITU-R BS.1770-4: K-weighted, gated in blocks of 400 ms).

    Audio shorter than one block is measured as one block without gates. What is too quiet for the absolute gate
    (-70 LUFS), digital silence included, gives minus infinity.
    """
    if len(audio) == 0:
        return -math.inf
    step = max(1, round(0.1 * sample_rate))
    energies = _k_weighted_energies(audio, sample_rate, step)
    whole = len(audio) // step  # a last step that is not full belongs to no block
    if whole < 4:
        blocks = np.array([energies.sum() * step / len(audio)])
    else:  # four steps make a block, which overlaps the next by three quarters
        total = np.concatenate([[0.0], np.cumsum(energies)])
        blocks = (total[4 : whole + 1] - total[: whole - 3]) / 4
    loud = blocks[_lufs(blocks) > -70.0]
    if len(loud) == 0:
        return -math.inf
    loud = loud[_lufs(loud) > _lufs(loud.mean()) - 10.0]
    return float(_lufs(loud.mean()))


def _lufs(energy: Any) -> Any:
    return -0.691 + 10 * np.log10(np.maximum(energy, 1e-30))


def _k_weighted_energies(
    audio: npt.NDArray[np.float32], sample_rate: int, step: int
) -> npt.NDArray[np.float64]:
    """Mean square of the K-weighted audio in steps of `step` samples, the last one padded with zeros."""
    response_seconds = 0.25  # both filters have died away by then, below 1e-12
    size = 2 ** math.ceil(math.log2(max(4 * response_seconds * sample_rate, 4 * step)))
    tail = math.ceil(response_seconds * sample_rate)
    weights = _k_weighting(sample_rate, size)
    hop = (size - tail) // step * step
    energies = []
    for start in range(0, len(audio), hop):
        lead = min(tail, start)  # overlap-save: the filters' memory of what came before
        block = np.zeros(size)
        piece = audio[start - lead : start + hop]
        block[: len(piece)] = piece
        filtered = np.fft.irfft(np.fft.rfft(block) * weights, size)[lead : len(piece)]
        filtered = np.pad(filtered, (0, -len(filtered) % step))
        energies.append((filtered.reshape(-1, step) ** 2).mean(axis=1))
    return np.concatenate(energies)


@lru_cache(maxsize=8)
def _k_weighting(sample_rate: int, size: int) -> npt.NDArray[np.complex128]:
    """Frequency response of BS.1770's two filters, for any rate: its 48 kHz ones, traced back to the analogue."""
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    k, q, high = _prewarp(1681.974450955533, sample_rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = (
        (high + band * k / q + k * k) + 2 * (k * k - high) * z + (high - band * k / q + k * k) * z**2
    ) / ((1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2)
    k, q = _prewarp(38.13547087602444, sample_rate), 0.5003270373238773
    highpass = (1 - z) ** 2 / (1 + (2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2) / (1 + k / q + k * k))
    return np.asarray(shelf * highpass)


def _prewarp(frequency: float, sample_rate: int) -> float:
    # At rates whose Nyquist frequency is below the shelf there is nothing for it to lift.
    return math.tan(math.pi * min(frequency / sample_rate, 0.49))
