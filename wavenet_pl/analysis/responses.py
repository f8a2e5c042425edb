"""How each layer answers to a signal: what it makes of every frequency, and how much of that is linear.

Shapes: M segments, N samples of a period, F its frequencies (N / 2 + 1), C channels, T time, H condition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl.analysis.stimuli import Stimulus
from wavenet_pl.network import LayerTrace, WaveNet

Floats = npt.NDArray[np.float64]
_SOUNDS = 0.01
"""Frequencies with less power than so large a share of the loudest are not in the signal, but rounding."""
_BY_CHANCE = 1.1
"""Times the coherence that chance gives: what is below does not answer."""


@dataclass(frozen=True)
class Response:
    """What a layer's gated channels make of the amplitudes that come in, all channels together."""

    gain_F: Floats
    """Power that comes out for each power that goes in, less what chance would give: about 0 where nothing does."""
    coherence_F: Floats
    """Share of the power that comes out, which a linear filter of what goes in explains."""
    answers: bool
    """Whether it explains more than chance would: else gain says nothing."""
    transfer_CF: npt.NDArray[np.complex128] | None = None
    """Of each channel, amplitude and phase; where that was asked for."""

    @property
    def period(self) -> int:
        """Samples of the signal's period (N)."""
        return 2 * (len(self.gain_F) - 1)

    @property
    def autocorrelation_N(self) -> Floats:
        """Of the impulse response, all channels together: 1 at lag 0."""
        return autocorrelation(self.gain_F)


def autocorrelation(gain_F: Floats) -> Floats:
    """(N,) of an impulse response with this gain: 1 at lag 0; zeros for a layer that does not answer."""
    made_N = np.fft.irfft(gain_F)
    return np.asarray(made_N / made_N[0]) if made_N[0] > 0 else np.zeros_like(made_N)


def lags(gain_F: Floats) -> list[float]:
    """The autocorrelation at lags 1, 2, 4, ...; 0 for a layer that does not answer."""
    made_N = autocorrelation(gain_F)
    return [float(made_N[2**power]) for power in range(12) if 2**power < len(made_N) // 2]


def measure_responses(
    network: WaveNet,
    stimulus: Stimulus,
    condition: Tensor | None = None,
    *,
    with_transfer: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Response]:
    """The response of every layer, first layer first.

    Args:
        network: in eval mode.
        stimulus: at least two segments, whose phases differ.
        condition: (1, H, 1), the same for all samples, for a network that has one.
        with_transfer: whether each channel's transfer function is kept.
        progress: is told the share that is done.
    """
    period, segments = stimulus.period, len(stimulus.codes_MT)
    spectra_MF = np.fft.rfft(stimulus.amplitudes_MN)
    spectra_MF[:, 0] = 0
    sums: list[dict[str, Any]] = [{} for _ in network.layers]

    def spectrum(made: LayerTrace) -> npt.NDArray[np.complex128]:
        return np.asarray(np.fft.rfft(made.gated[0, :, -period:].double().numpy()))

    for segment, input_F in enumerate(spectra_MF):
        with torch.inference_mode():
            layers = network.trace(stimulus.codes_MT[segment : segment + 1], condition, spectrum).layers
        for kept, output_CF in zip(sums, layers, strict=True):
            _add(kept, "cross", output_CF * input_F.conj())
            _add(kept, "output", np.abs(output_CF) ** 2)
        progress((segment + 1) / segments)
    input_F = np.sum(np.abs(spectra_MF) ** 2, axis=0)
    return [_response(kept["cross"], kept["output"], input_F, segments, with_transfer) for kept in sums]


def _add(kept: dict[str, Any], name: str, value: Any) -> None:
    kept[name] = kept[name] + value if name in kept else value


def _response(
    cross_CF: npt.NDArray[np.complex128],
    output_CF: Floats,
    input_F: Floats,
    segments: int,
    with_transfer: bool,
) -> Response:
    sounds_F = input_F > _SOUNDS * input_F.max()
    divisor_F = np.where(sounds_F, input_F, 1.0)
    transfer_CF = np.where(sounds_F, cross_CF / divisor_F, 0)
    linear_CF = np.abs(cross_CF) ** 2 / divisor_F
    # What is not explained is spread evenly, and by chance a part of it looks explained in each segment.
    chance_CF = (output_CF - linear_CF) / (segments - 1) / divisor_F
    gain_F = np.where(sounds_F, (np.abs(transfer_CF) ** 2 - chance_CF).sum(axis=0), 0)
    total_F = output_CF.sum(axis=0)
    coherence_F = np.where(total_F > 0, linear_CF.sum(axis=0) / np.where(total_F > 0, total_F, 1), 0)
    answers = bool(coherence_F[sounds_F].mean() > _BY_CHANCE / segments)
    return Response(
        gain_F, np.where(sounds_F, coherence_F, 0), answers, transfer_CF if with_transfer else None
    )


def sine_gains(
    network: WaveNet, stimulus: Stimulus, cycles: Sequence[int], condition: Tensor | None = None
) -> Floats:
    """Power of each layer's answer (layers, M) at the frequency of each sine, for each power that goes in."""
    period, gains = stimulus.period, []
    for number, (codes_T, amplitudes_N) in enumerate(
        zip(stimulus.codes_MT, stimulus.amplitudes_MN, strict=True)
    ):
        wave_N = torch.from_numpy(np.exp(-2j * np.pi * cycles[number] * np.arange(period) / period))

        def power(made: LayerTrace, wave_N: Tensor = wave_N) -> float:
            parts_C = made.gated[0, :, -period:].to(wave_N.dtype) @ wave_N
            return float(parts_C.abs().square().sum())

        with torch.inference_mode():
            layers = network.trace(codes_T[None], condition, power).layers
        into = float(np.abs(np.fft.rfft(amplitudes_N)[cycles[number]]) ** 2)
        gains.append([each / into for each in layers])
    return np.array(gains).T
