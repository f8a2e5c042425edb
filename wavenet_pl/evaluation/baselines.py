"""What simple models of codes reach: a network that is not clearly below them has learned nothing.

All are scored on validation recordings, in bits per sample: those that count, with add-one counts from training
recordings, and one that adapts as it goes (`linear_prediction`).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.codec import Codec
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.linear_prediction import LinearPredictor, Setting, choose_setting
from wavenet_pl.files.durable import write_durably
from wavenet_pl.files.foreign import read_file
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.split import Split

_MAX_BYTES = 4096  # five numbers take a few hundred
Codes = npt.NDArray[np.int64]
MAX_SAMPLES = 2**25
"""So many samples of a split are enough to count codes: 35 minutes at 16 kHz."""
_MOST_PREDICTED, _MOST_CHOSEN_BY = 2**21, 2**17
"""So many are scored by linear prediction while a model trains; so many of training recordings choose its setting."""


@dataclass(frozen=True)
class Baselines:
    """Bits per sample of three models that know less and less."""

    uniform: float
    """Every code alike: log2 Q."""
    unigram: float
    """How often each code comes."""
    order1: float
    """How often each code follows the one before."""
    train_samples: int
    """How many samples were counted."""
    val_samples: int
    """How many samples were scored."""
    linear: float | None = None
    """Adaptive linear prediction; None where nobody measured it."""
    linear_order: int | None = None
    """See `linear_prediction.Setting`."""
    linear_memory: int | None = None
    linear_width_memory: int | None = None

    @property
    def rows(self) -> dict[str, float]:
        """Each model by its short name; from the one that knows least."""
        linear = {} if self.linear is None else {"linear prediction": self.linear}
        return {"uniform": self.uniform, "unigram": self.unigram, "order-1": self.order1, **linear}

    @property
    def strongest(self) -> tuple[str, float]:
        """The one with the fewest bits."""
        return min(self.rows.items(), key=lambda row: row[1])

    @property
    def explained(self) -> dict[str, float]:
        """What each model is, in words -> its bits; from the one that knows least."""
        meanings = {
            "uniform": "every code is equally likely",
            "unigram": "how often each code occurs",
            "order-1": "how often each code follows the one before",
        }
        if self.linear_order and self.linear_memory and self.linear_width_memory:
            setting = Setting(self.linear_order, self.linear_memory, self.linear_width_memory)
            meanings["linear prediction"] = f"{setting.describe()}, and nothing learned"
        return {": ".join([name, meanings.get(name, "")]): bits for name, bits in self.rows.items()}


_NEEDED = {field.name for field in fields(Baselines) if field.default is MISSING}


def measure_baselines(
    train: Iterable[Codes], val: Iterable[Codes], *, quantization_channels: int, silence_code: int
) -> Baselines:
    """Count and score. One silence code precedes each recording, as for the network.

    Args:
        train: codes (frames,) of each training recording.
        val: codes (frames,) of each validation recording.
        quantization_channels: number of codes Q.
        silence_code: what precedes a recording.
    """
    pairs = _count_pairs(train, quantization_channels, silence_code)
    scored = _count_pairs(val, quantization_channels, silence_code)
    singles = pairs.sum(axis=0)
    unigram = np.log2(singles.sum() + quantization_channels) - np.log2(singles + 1)
    order1 = np.log2(pairs.sum(axis=1, keepdims=True) + quantization_channels) - np.log2(pairs + 1)
    num_scored = int(scored.sum())
    return Baselines(
        uniform=float(np.log2(quantization_channels)),
        unigram=float((scored.sum(axis=0) * unigram).sum() / max(num_scored, 1)),
        order1=float((scored * order1).sum() / max(num_scored, 1)),
        train_samples=int(pairs.sum()),
        val_samples=num_scored,
    )


def save_baselines(baselines: Baselines, path: str | os.PathLike[str]) -> None:
    """Write them as JSON."""
    write_durably(path, json.dumps(asdict(baselines)) + "\n")


def load_baselines(path: str | os.PathLike[str]) -> Baselines:
    """What `save_baselines` wrote.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        baselines = Baselines(**json.loads(read_file(path, _MAX_BYTES)))
        numbers = [
            number for name, number in asdict(baselines).items() if number is not None or name in _NEEDED
        ]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError("not all of it are numbers")
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path} cannot be used ({reason}), expected the baselines of a run; remove it, and `wavenet-pl train` "
            "measures them again"
        ) from None
    return baselines


def baselines_of(train: Split, scored: Split, codec: Codec, *, whole: bool = False) -> Baselines:
    """Counted on one split, at most `MAX_SAMPLES` of it, and scored on another, in the codec's codes.

    Args:
        train: what is counted.
        scored: what is scored.
        codec: in whose codes.
        whole: score all of it, to be compared with a model on the same; else the first recordings.
    """
    everything = int(scored.frames.sum())
    most, most_predicted = (everything, everything) if whole else (MAX_SAMPLES, _MOST_PREDICTED)
    counted = measure_baselines(
        _codes_of(train, codec),
        _codes_of(scored, codec, most),
        quantization_channels=codec.quantization_channels,
        silence_code=codec.silence_code,
    )
    setting = choose_setting(codec, list(_codes_of(train, codec, _MOST_CHOSEN_BY)))
    predictor, nats, samples = LinearPredictor(codec, setting), 0.0, 0
    for codes in _codes_of(scored, codec, most_predicted):
        nats, samples = nats + float(predictor.nats(codes).sum()), samples + len(codes)
    return replace(
        counted,
        linear=nats / max(samples, 1) / math.log(2),
        linear_order=setting.order,
        linear_memory=setting.memory,
        linear_width_memory=setting.width_memory,
    )


def _codes_of(recordings: Split, codec: Codec, most: int = MAX_SAMPLES) -> Iterator[Codes]:
    """Codes (frames,) of each recording that can be read, of so many samples in all: whole ones, or that much of the
    first.
    """
    left = most
    for position in range(len(recordings)):
        left -= recordings[position].frames
        if left < 0 and position > 0:
            return
        audio = recordings.try_read(position)
        if not isinstance(audio, Damage):  # what is damaged is named where it is trained on or scored
            yield codec.encode(torch.from_numpy(audio[:most])).numpy()


def _count_pairs(recordings: Iterable[Codes], quantization_channels: int, silence_code: int) -> Codes:
    """(Q, Q): how often the second code follows the first."""
    counts = np.zeros(quantization_channels**2, dtype=np.int64)
    for codes in recordings:
        before = np.concatenate([[silence_code], codes[:-1]])
        counts += np.bincount(before * quantization_channels + codes, minlength=len(counts))
    return counts.reshape(quantization_channels, quantization_channels)
