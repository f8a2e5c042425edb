"""What can be read out of skips: how loud each octave is, and in which phase; by ridge regression.

At sample t, octave k has the component z = A exp(i phase) of a causal window that ends at t. Its A, log A, A cos and
A sin are what a linear read-out is asked for. A single difference is A sin(w / 2) cos(w (t - 1 / 2) + phase): it has
one of the two quadratures, so half of what A cos and A sin vary.

Shapes: W windows, T samples, N moments at which is asked, S features, O octaves, Y targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.analysis.material import Windows
from wavenet_pl.codec import Codec
from wavenet_pl.network import LayerTrace, WaveNet

Floats = npt.NDArray[np.float64]
TARGETS = ("A", "log A", "A cos", "A sin")
"""What is asked for, in every octave."""
_PERIODS = 4
"""Of the middle of an octave, in the window that measures it."""
_STRIDE = 8
"""Samples from one moment to the next."""
_RIDGES = tuple(10.0**power for power in range(-6, 5))
"""Of features with variance 1, for each moment: the best by generalised cross-validation (Golub et al., 1979)."""
_LEAST_POWER = 1e-4
"""Of an octave, as a share of the loudest: what is quieter is no part of such audio."""
RAW = 512
"""Samples of the past that the control of raw amplitudes has, at most."""


@dataclass(frozen=True)
class Knowledge:
    """Shares of variance on held-out recordings (O, Y)."""

    by_layer: list[Floats]
    """From the skip of each layer."""
    together: Floats
    """From the sum of all skips, which is all that the outputs get."""


def centre(octave: int) -> float:
    """The middle of octave k, which lies below fs / 2^(k + 1), as a share of the sample rate."""
    return float(2.0 ** -(octave + 1.5))


def components(audio_WT: Floats, octave: int, moments_N: npt.NDArray[np.int64]) -> npt.NDArray[np.complex128]:
    """z (W, N) of an octave at moments, each from the window that ends there."""
    frequency = centre(octave)
    length = round(_PERIODS / frequency)
    age = np.arange(length)
    kernel = np.hanning(length + 2)[1:-1] * np.exp(2j * np.pi * frequency * age)
    kernel *= 2 / np.hanning(length + 2).sum()
    return np.stack(
        [audio_WT[:, moment - length + 1 : moment + 1][:, ::-1] @ kernel for moment in moments_N], axis=1
    )


def targets_of(z: npt.NDArray[np.complex128]) -> Floats:
    """(Y, W * N) of the components (W, N) of an octave."""
    z = z.flatten()
    return np.array([np.abs(z), np.log(np.abs(z) + 1e-5), z.real, z.imag])


def ridge_shares(train_NS: Floats, train_NY: Floats, test_NS: Floats, test_NY: Floats) -> Floats:
    """Shares of the targets' variance (Y,) that features explain on the second set, with what fits the first.

    What does worse than the mean of the second set explains nothing.
    """
    mean_S, scale_S = train_NS.mean(axis=0), train_NS.std(axis=0)
    scale_S = np.where(scale_S > 1e-12, scale_S, np.inf)  # what never changes says nothing
    x_NS, mean_Y = (train_NS - mean_S) / scale_S, train_NY.mean(axis=0)
    y_NY = train_NY - mean_Y
    values_S, vectors_SS = np.linalg.eigh(x_NS.T @ x_NS / len(x_NS))
    values_S = np.maximum(values_S, 0)
    rotated_NS, towards_SY = x_NS @ vectors_SS, vectors_SS.T @ (x_NS.T @ y_NY) / len(x_NS)
    best_Y, weights_SY = np.full(y_NY.shape[1], np.inf), np.zeros_like(towards_SY)
    for ridge in _RIDGES:
        made_SY = towards_SY / (values_S + ridge)[:, None]
        free = 1 - (values_S / (values_S + ridge)).sum() / len(x_NS)
        cost_Y = ((y_NY - rotated_NS @ made_SY) ** 2).mean(axis=0) / max(free, 1e-9) ** 2
        better_Y = cost_Y < best_Y
        best_Y, weights_SY = np.where(better_Y, cost_Y, best_Y), np.where(better_Y, made_SY, weights_SY)
    made_NY = (test_NS - mean_S) / scale_S @ vectors_SS @ weights_SY + mean_Y
    spread_Y = ((test_NY - test_NY.mean(axis=0)) ** 2).sum(axis=0)
    explained_Y = 1 - ((test_NY - made_NY) ** 2).sum(axis=0) / np.where(spread_Y > 0, spread_Y, np.inf)
    return np.asarray(np.maximum(explained_Y, 0))


@dataclass(frozen=True)
class Questions:
    """Targets at moments of windows, and which of them are held out."""

    targets_OYN: Floats
    moments_N: npt.NDArray[np.int64]
    """In every window."""
    octaves: list[int]
    """In which there is anything."""
    held_out_N: npt.NDArray[np.bool_]
    """Of recordings that nothing is fitted to."""

    def shares(self, features_NS: Floats) -> Floats:
        """(O, Y) that features explain."""
        octaves, kinds, _ = self.targets_OYN.shape
        targets_NY = self.targets_OYN.reshape(octaves * kinds, -1).T
        fitted_N = ~self.held_out_N
        made_Y = ridge_shares(
            features_NS[fitted_N],
            targets_NY[fitted_N],
            features_NS[self.held_out_N],
            targets_NY[self.held_out_N],
        )
        return made_Y.reshape(octaves, kinds)


def ask(codec: Codec, windows: Windows, length: int, octaves: int) -> Questions:
    """Questions on the last `length` samples of each window; every second recording is held out."""
    audio_WT = codec.decode(windows.inputs_WT).double().numpy()
    moments_N = np.arange(audio_WT.shape[1] - length, audio_WT.shape[1], _STRIDE)
    known = {recording: number for number, recording in enumerate(np.unique(windows.recording_W))}
    made = [components(audio_WT, octave, moments_N) for octave in range(octaves)]
    powers = [float((np.abs(z) ** 2).mean()) for z in made]
    kept = [octave for octave in range(octaves) if powers[octave] > _LEAST_POWER * max(powers)]
    targets_OYN = np.array([targets_of(made[octave]) for octave in kept])
    held_out_W = np.array([known[recording] % 2 == 1 for recording in windows.recording_W])
    return Questions(targets_OYN, moments_N, kept, np.repeat(held_out_W, len(moments_N)))


def measure_knowledge(
    network: WaveNet,
    windows: Windows,
    questions: Questions,
    progress: Callable[[float], None] = lambda share: None,
) -> Knowledge:
    """What each layer's skip and their sum know."""
    moments_N = torch.from_numpy(questions.moments_N)
    rows: list[list[Floats]] = []

    def features(made: LayerTrace) -> Floats:
        return np.asarray(made.skip[0][:, moments_N].t().double().numpy())

    for number, (codes_1T, condition) in enumerate(windows.each()):
        with torch.inference_mode():
            rows.append(list(network.trace(codes_1T, condition, features).layers))
        progress(0.7 * (number + 1) / len(windows))
    layers = [np.concatenate([row[layer] for row in rows]) for layer in range(len(rows[0]))]
    by_layer = []
    for number, features_NS in enumerate(layers):
        by_layer.append(questions.shares(features_NS))
        progress(0.7 + 0.3 * (number + 1) / len(layers))
    return Knowledge(by_layer, questions.shares(np.sum(layers, axis=0)))


def of_raw_samples(codec: Codec, windows: Windows, questions: Questions, receptive_field: int) -> Floats:
    """(O, Y) from the amplitudes of the receptive field themselves: all that is linear in them."""
    audio_WT = codec.decode(windows.inputs_WT).double().numpy()
    length = min(receptive_field, RAW)
    rows = [audio_WT[:, moment - length + 1 : moment + 1] for moment in questions.moments_N]
    return questions.shares(np.stack(rows, axis=1).reshape(-1, length))


def of_loudness(codec: Codec, windows: Windows, questions: Questions, receptive_field: int) -> Floats:
    """(O, Y) from how loud the last 1, 2, 4, ... samples are: all that is known without frequencies."""
    energy_WT = np.cumsum(codec.decode(windows.inputs_WT).double().numpy() ** 2, axis=1)
    lengths = [2**power for power in range(receptive_field.bit_length())]
    rows = [
        [
            np.log(energy_WT[:, moment] - energy_WT[:, moment - length] + 1e-9)
            for length in lengths
            if length <= moment
        ]
        for moment in questions.moments_N
    ]
    return questions.shares(np.array(rows).transpose(2, 0, 1).reshape(-1, len(rows[0])))
