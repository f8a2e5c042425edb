"""Clips in several batches are the clips of one batch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.small import small_model
from wavenet_pl import ClipRequest
from wavenet_pl.generation import batches
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.job import CHUNK
from wavenet_pl.generation.memory import clips_with_room

LENGTHS = [40, 3, 25, 1, 40, 8]
CLIPS = tuple(range(7, 13))


def test_clips_are_the_same_in_any_batches(torch_seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model().eval()
    requests = [ClipRequest(seconds=length / 8_000) for length in LENGTHS]
    together = model.generate_each(requests, Draw(seed=2, clips=CLIPS))
    assert [len(audio) for audio in together] == LENGTHS
    monkeypatch.setattr(batches, "MOST", 2)
    for one, other in zip(together, model.generate_each(requests, Draw(seed=2, clips=CLIPS)), strict=True):
        assert np.array_equal(one, other)


def test_each_clip_is_in_one_batch_with_its_number_beside_those_of_like_length(
    torch_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST", 2)
    model = small_model()
    clips = model.resolve([ClipRequest(seconds=length / 8_000) for length in LENGTHS])
    divided = list(batches.divide(model.network, clips, Draw(seed=2, clips=CLIPS), 10))
    assert [[clip.num_samples for clip in batch.clips] for batch in divided] == [[1, 3], [8, 25], [40, 40]]
    assert sorted(row for batch in divided for row in batch.rows) == list(range(6))
    for batch in divided:
        assert batch.draw == Draw(seed=2, clips=tuple(CLIPS[row] for row in batch.rows))
    with pytest.raises(ValueError, match="draw has 1 clip numbers, expected 6: one for each clip"):
        next(batches.divide(model.network, clips, Draw(), 10))


def test_as_many_have_room_as_take_half_of_the_memory(torch_seed: int) -> None:
    network = small_model().network
    assert clips_with_room(network, 10, 4) == 4
    assert clips_with_room(network, 10**12, 4) == 1, "one is tried in any case, and refused where it has none"


@pytest.mark.parametrize("engine", ["reference", "fused-cpu"])
def test_clips_that_have_ended_are_computed_no_more(
    torch_seed: int, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Each sample is made for the clips that need it, but for what is left of the chunk that one ends in."""
    model, rows = small_model().eval(), []
    uniforms = Draw.uniforms

    def counted(self: Draw, start: int, stop: int, of: list[int]) -> np.ndarray:
        rows.append(len(of) * (stop - start))
        return uniforms(self, start, stop, of)

    monkeypatch.setattr(Draw, "uniforms", counted)
    lengths = [10, 1_000, 10, 300, 10, 10]
    audio = model.generate_each(
        [ClipRequest(seconds=length / 8_000) for length in lengths], choice=Choice(engine=engine, threads=1)
    )
    assert [len(each) for each in audio] == lengths
    assert sum(rows) <= sum(-(-length // CHUNK) * CHUNK for length in lengths)
