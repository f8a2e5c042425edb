"""What a clip is told by name: found in the model's tables, or refused with what is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.test_conditioning import LABELS, MEL, module_of
from wavenet_pl.generation.telling import tell
from wavenet_pl.shards.labels import Labels


def told(inputs: tuple[str, ...], **given: Any) -> dict[str, Any]:
    return tell(inputs, LABELS, num_columns=100, frame_context=2, **given)


def test_names_become_rows() -> None:
    assert told(("speaker",), speaker="ben")["speaker"].tolist() == [1]
    assert told(("tags",), tags=("loud", "calm"))["tags"].tolist() == [[1, 0, 1]]
    assert told(("tags",))["tags"].tolist() == [[0, 0, 0]]


def test_frames_begin_with_the_clip_and_are_followed_by_nothing() -> None:
    stored = np.random.Generator(np.random.Philox(0)).random((2, MEL.num_features)).astype(np.float16)
    frames = told(("mel",), features={"mel": stored})
    assert frames["mel"].shape == (1, 3 + 4, MEL.num_features) and frames["mel_phase"].tolist() == [0]
    assert np.array_equal(frames["mel"][0, 2:4].numpy(), stored.astype(np.float32))
    assert not frames["mel"][0, :2].any() and not frames["mel"][0, 4:].any()


@pytest.mark.parametrize(
    ("inputs", "given", "said"),
    [
        (("speaker",), {}, "speaker is missing, expected one of anna, ben, cleo"),
        (("speaker",), {"speaker": "Ana"}, "speaker is 'Ana', expected one of anna, ben, cleo; did you mean anna?"),
        (("speaker",), {"speaker": "zzz"}, "speaker is 'zzz', expected one of anna, ben, cleo"),
        (("tags",), {"tags": ["lout"]}, "tag is 'lout', expected one of calm, fast, loud; did you mean loud?"),
        (("tags",), {"speaker": "anna"}, "speaker is set, and this model is told tags; leave it out"),
        ((), {"tags": ["calm"]}, "tags is set, and this model has no condition; leave it out"),
        (("mel",), {}, "mel is missing, expected frames of 12 numbers"),
        (("mel",), {"features": {"mel": np.zeros((5, 80))}}, r"mel has shape \(5, 80\), expected \(frames, 12\)"),
        (("tags",), {"features": {"mel": np.zeros((5, 12))}}, "mel is set, and this model is told tags"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(inputs: tuple[str, ...], given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        told(inputs, **given)


def test_a_long_table_is_not_listed() -> None:
    names = Labels(speakers=tuple(f"p{number:04d}" for number in range(1000)))
    with pytest.raises(ValueError, match=r"p0009 and 990 more; did you mean p0123\?"):
        tell(("speaker",), names, num_columns=1, frame_context=0, speaker="p 0123")


def test_another_voice_is_another_clip_and_a_row_does_not_depend_on_others() -> None:
    module = module_of("speaker")
    clips = {name: module.generate(0.01, 2, speaker=name, seed=1) for name in ("anna", "ben")}
    assert not np.array_equal(clips["anna"], clips["ben"])
    assert np.array_equal(clips["anna"][:1], module.generate(0.01, 1, speaker="anna", seed=1))
