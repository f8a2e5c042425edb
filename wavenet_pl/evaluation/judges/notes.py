"""Which keys of a piano are heard: basic-pitch's network, and how well clips agree with the notes of their condition.

Shapes: N rows of a piano roll, J frames of the judge, K the keys of a piano.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.audio.midi import NUM_KEYS, PEDAL_DOWN
from wavenet_pl.audio.resampling import resample
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.judges.likeness import Measure
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.runs.versions import INSTALL_EVALUATE

Keys = npt.NDArray[np.bool_]
"""(J, K) which keys sound when."""

_RATE, _HOP = 22_050, 256
"""What the network hears: sample rate in Hz, and samples from frame to frame."""
_WINDOW, _FRAMES, _EDGE = 43_844, 172, 15
"""Samples and frames of one call, and frames at both ends of it that know too little of what is around them."""
_INPUT, _NOTE_OUTPUT = "serving_default_input_2:0", "StatefulPartitionedCall:1"
_HEARD = 0.3
"""Activation from which on a key counts as heard: the package's own choice."""
_INSTALL = "`pip install --no-deps basic-pitch==0.4.0`"


class NoteJudge:
    """A network that transcribes any instrument (Bittner et al., 2022), of which a piano's keys are asked for.

    It runs on the CPU, with as many threads as torch has. Its package is never imported: only its weights are read.

    Raises:
        UserError: the weights or what runs them are not installed.
    """

    def __init__(self) -> None:
        spec = find_spec("basic_pitch")
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                f"basic-pitch is not installed, so no notes are judged; run {INSTALL_EVALUATE} and {_INSTALL}"
            )
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"onnxruntime cannot be imported ({error}), so no notes are judged; run {INSTALL_EVALUATE}"
            ) from None
        weights = Path(spec.submodule_search_locations[0]) / "saved_models/icassp_2022/nmp.onnx"
        if not weights.is_file():
            raise UserError(
                f"basic-pitch has no {weights.name} where it is expected, so no notes are judged; run {_INSTALL}"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )

    def hear(self, audio: npt.NDArray[np.float32], sample_rate: int) -> Keys:
        """(J, K) of a clip (samples,): frame j is around sample j * hop."""
        heard = resample(np.asarray(audio, np.float32), sample_rate, _RATE)
        frames = -(-len(heard) // _HOP)
        step = _FRAMES - 2 * _EDGE
        # Windows begin a whole number of frames apart: then their inner frames follow each other without a shift.
        starts = np.arange(0, max(frames, 1), step) * _HOP
        padded = np.zeros(starts[-1] + _WINDOW, np.float32)
        padded[_EDGE * _HOP :][: len(heard)] = heard[: len(padded) - _EDGE * _HOP]
        parts = [
            self._session.run([_NOTE_OUTPUT], {_INPUT: padded[None, start : start + _WINDOW, None]})[0][0]
            for start in starts
        ]
        activations_JK = np.concatenate([part[_EDGE : _EDGE + step] for part in parts])[:frames]
        return np.asarray(activations_JK >= _HEARD)


def condition_keys(
    roll_NF: npt.NDArray[np.uint8], hop_length: int, num_samples: int, sample_rate: int
) -> Keys:
    """The roll of a recording's beginning in the frames of the judge.

    A key counts from when it is struck, at any velocity, until it is let go and the sustain pedal is up, as is usual
    (Hawthorne et al., 2018, section 3): the string sounds so long.

    Args:
        roll_NF: all rows of the recording, the last column its pedal.
        hop_length: samples in a row.
        num_samples: of the beginning.
        sample_rate: of the recording in Hz.
    """
    frames_J = np.arange(-(-num_samples * _RATE // (sample_rate * _HOP)))
    rows_J = frames_J * _HOP * sample_rate // (_RATE * hop_length)
    return _sounding(roll_NF)[np.minimum(rows_J, len(roll_NF) - 1)]


def _sounding(roll_NF: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """(N, K): since a key was last down, the pedal has not been up."""
    row_N1 = np.arange(1, len(roll_NF) + 1)[:, None]
    last_down_NK = np.maximum.accumulate(row_N1 * (roll_NF[:, :NUM_KEYS] > 0))
    last_up_N1 = np.maximum.accumulate(row_N1 * (roll_NF[:, NUM_KEYS:] < PEDAL_DOWN))
    return np.asarray((last_down_NK > 0) & (last_down_NK >= last_up_N1))


def compare_keys(
    generated: Sequence[Keys], recorded: Sequence[Keys], condition: Sequence[Keys], beside: Sequence[Hashable]
) -> list[Measure]:
    """Precision, recall and F1 over frames and keys, with intervals over the recordings that clips stand beside.

    Chance is the generated clips beside the condition of the next clip; there is none where all have the same one.

    Args:
        generated: keys heard in each clip.
        recorded: keys heard in its recorded counterpart.
        condition: keys of its condition; a clip counts as far as its recording reaches.
        beside: which recording each clip stands beside.
    """
    others = _next_others(condition)
    pairs = [(generated, condition, beside), (recorded, condition, beside)]
    known = [clip for clip, other in enumerate(others) if other is not None]
    if known:
        of_known = ([each[clip] for clip in known] for each in (generated, others, beside))
        pairs.append(tuple(of_known))  # type: ignore[arg-type]
    columns = [_agreement(*pair) for pair in pairs]
    return [Measure(name, *(column[name] for column in columns)) for name in ("precision", "recall", "F1")]


def _next_others(condition: Sequence[Keys]) -> list[Keys | None]:
    """For each clip the condition of the next one that has another, around the end; None where all have the same."""
    others: list[Keys | None] = [None] * len(condition)
    changes = [not np.array_equal(condition[clip - 1], keys) for clip, keys in enumerate(condition)]
    other: Keys | None = None
    for clip in 2 * list(
        reversed(range(len(condition)))
    ):  # the second time it is known what follows the last
        others[clip] = other
        if changes[clip]:
            other = condition[clip]
    return others


def _agreement(
    heard: Sequence[Keys], meant: Sequence[Keys], beside: Sequence[Hashable]
) -> dict[str, Interval]:
    counts = []
    for one_JK, other_JK in zip(heard, meant, strict=True):
        frames = min(len(one_JK), len(other_JK))
        one_JK, other_JK = one_JK[:frames], other_JK[:frames]
        counts.append(((one_JK & other_JK).sum(), one_JK.sum(), other_JK.sum()))
    both, first, second = np.array(counts, np.float64).reshape(-1, 3).T
    return {
        "precision": mean_and_interval(both, first, beside),
        "recall": mean_and_interval(both, second, beside),
        "F1": mean_and_interval(2 * both, first + second, beside),
    }
