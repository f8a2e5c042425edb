"""What a batch says beside its audio: the speaker, tags, notes or mel frames of each crop, and those of another one.

Shapes: B crops, K tags, N frames, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.features import FeatureSpec
from wavenet_pl.numbers import counter
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.split import Split

Fields = dict[str, npt.NDArray[Any]]
"""Name of a batch's field -> the part of one crop."""
_TRIES = 4


@dataclass(frozen=True)
class Conditions:
    """Reads what a model is told about the crops of a split.

    The fields of a crop, for each input: ``speaker``, its row, or -1; ``tags`` (K,), 1 where it has the tag; ``notes``
    or ``mel`` (N, F), the frames of its columns and `frame_context` more on both sides, and ``notes_phase``, by how
    many samples column 0 is behind the beginning of its frame.
    """

    split: Split
    inputs: tuple[str, ...] = ()
    """What the model is told."""
    num_columns: int = 0
    """Samples that a condition describes: one for each output of the network."""
    frame_context: int = 0
    others: bool = False
    """Whether crops also have ``other_NAME``, a wrong value, and ``changed_NAME``, whether there was one."""

    def read(self, recording: int, first: int) -> Fields | Damage:
        """The fields of one crop.

        Args:
            recording: position in the split; -1 gives fields of the same shapes that say nothing.
            first: the sample that column 0 describes.
        """
        fields: Fields = {}
        for name in self.inputs:
            if name in self.split.labels.features:
                frames = self._frames(name, recording, first)
                if isinstance(frames, Damage):
                    return frames
                fields[name] = frames
                fields[f"{name}_phase"] = np.int64(first % self.split.labels.features[name].hop_length)  # type: ignore[assignment]
            else:
                fields[name] = self._said(name, recording)
            if self.others:
                other = None if recording < 0 else self._other(name, recording, first, fields[name])
                fields[f"other_{name}"] = fields[name] if other is None else other
                fields[f"changed_{name}"] = np.bool_(other is not None)  # type: ignore[assignment]
        return fields

    def _said(self, name: str, recording: int) -> npt.NDArray[Any]:
        if name == "speaker":
            return np.int64(self.split[recording].speaker if recording >= 0 else -1)  # type: ignore[return-value]
        return self._multi_hot(self.split[recording].tags if recording >= 0 else ())

    def _multi_hot(self, tags: Sequence[int]) -> npt.NDArray[np.float32]:
        tags_K = np.zeros(len(self.split.labels.tags), dtype=np.float32)
        tags_K[list(tags)] = 1
        return tags_K

    def _frames(self, name: str, recording: int, first: int) -> npt.NDArray[np.float32] | Damage:
        """(N, F) from the frame of a sample on; N depends on nothing, and what is outside of the recording is 0."""
        spec = self.split.labels.features[name]
        wanted = num_frames(spec, self.num_columns, self.frame_context)
        if recording < 0:
            return np.zeros((wanted, spec.num_features), dtype=np.float32)
        stored = self.split.try_read_features(recording, name)
        if isinstance(stored, Damage):
            return stored
        return window(spec, stored, first // spec.hop_length - self.frame_context, wanted)

    def _other(self, name: str, recording: int, first: int, own: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """A value that is another one, always the same for the same crop; None where there is none."""
        draws = counter.random_bits(
            counter.stream_key("other", name, self.split[recording].key, first), np.arange(_TRIES)
        ).tolist()
        if name == "speaker":
            row, rows = int(own), len(self.split.labels.speakers)
            return np.int64((row + 1 + draws[0] % (rows - 1)) % rows) if row >= 0 and rows > 1 else None  # type: ignore[return-value]
        if name == "tags":
            sets = self.split.tag_sets
            if len(sets) < 2:
                return None
            place = sets.index(self.split[recording].tags) + 1 + draws[0] % (len(sets) - 1)
            return self._multi_hot(sets[place % len(sets)])
        return next(
            (
                found
                for draw in draws
                if (found := self._other_frames(name, recording, first, own, draw)) is not None
            ),
            None,
        )

    def _other_frames(
        self, name: str, recording: int, first: int, own: npt.NDArray[Any], draw: int
    ) -> npt.NDArray[np.float32] | None:
        """Frames of another recording, or of this one half its length away where it is the only one."""
        spec, number = self.split.labels.features[name], len(self.split)
        chosen = (recording + 1 + draw % (number - 1)) % number if number > 1 else recording
        stored = self.split.try_read_features(chosen, name)
        if isinstance(stored, Damage):
            return None
        begin = first // spec.hop_length + (len(stored) // 2 if chosen == recording else 0)
        wanted = num_frames(spec, self.num_columns, self.frame_context)
        frames = window(spec, stored, begin % max(1, len(stored) - wanted + 1) - self.frame_context, wanted)
        return None if np.array_equal(frames, own) else frames


def num_frames(spec: FeatureSpec, num_columns: int, frame_context: int) -> int:
    """How many frames (N) go with so many columns."""
    # Columns begin anywhere in a frame: one frame more than they fill may be touched.
    return spec.num_frames(num_columns + spec.hop_length - 1) + 2 * frame_context


def window(
    spec: FeatureSpec, stored_NF: npt.NDArray[Any], begin: int, number: int
) -> npt.NDArray[np.float32]:
    """So many frames (number, F) from `begin` on, which may be negative; those that are not there are 0."""
    frames = np.zeros((number, spec.num_features), dtype=np.float32)
    first, last = max(begin, 0), min(begin + number, len(stored_NF))
    if first < last:
        frames[first - begin : last - begin] = spec.scaled(stored_NF[first:last])
    return frames
