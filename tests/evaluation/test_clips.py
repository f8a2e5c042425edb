"""Free-running clips: those of `generate`, each beside a recording, and judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.shards.made import spoil, write_shard_set
from tests.small import small_model
from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation.clips import count_faults, make_clips
from wavenet_pl.generation.draw import Draw
from wavenet_pl.network import WaveNet
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Recordings of 0.05 and of 0.5 s, in turn."""
    shards = write_shard_set(tmp_path_factory.mktemp("clips"), train=1, val=6, frames=(4_000, 400))
    index = load_index(shards)
    return Split(index.splits["val"], shard_storage(index, shards), index.sample_rate)


def test_clips_are_those_that_generate_makes_beside_the_beginnings_of_recordings(split):
    torch.manual_seed(0)
    module, told = small_model().eval(), []
    clips, speed = make_clips(module, split, seconds=0.1, count=3, seed=5, progress=told.append)
    assert np.array_equal([clip.generated for clip in clips], module.generate(0.1, 3, seed=5))
    keys = [split[position].key for position in range(len(split))]
    for clip in clips:
        assert np.array_equal(clip.recorded, split.read(keys.index(clip.key))[:800])
        assert len(clip.recorded) == 800, "recordings that are long enough come first"
        assert "noise" in clip.faults, "an untrained network knows nothing"
        assert clip.recorded_faults == {}
    assert len({clip.key for clip in clips}) == 3
    assert count_faults([clip.faults for clip in clips])["noise"] == 3
    assert told[-1] == 1.0
    assert speed.clips == 3 and speed.real_time_factor > 0
    engine = module.build_engine()
    assert (speed.engine, speed.weights, speed.threads) == (engine.name, engine.weights, engine.threads)


class Envelope(nn.Module):
    """A local condition: how far from zero the predicted sample is."""

    model_inputs = ()
    """It asks for nothing but the audio."""

    def forward(self, batch, num_columns):
        """(B, 1, T)."""
        assert num_columns == batch["audio"].shape[1] - 1
        return batch["audio"][:, None, 1:].abs()

    def describe(self, batch, row):
        """The recording's key."""
        return f"envelope of {batch['keys'][row]}"


def test_clips_have_the_condition_of_the_recordings_beside_them(split):
    torch.manual_seed(0)
    module = small_model().eval()
    module.conditioner = Envelope()
    module.network = WaveNet(module.config.model.network, condition_channels=1).eval()
    clips, _ = make_clips(module, split, seconds=0.1, count=2, seed=0, progress=lambda share: None)
    condition = torch.from_numpy(np.stack([clip.recorded for clip in clips]))[:, None].abs()
    [codes] = module.stream_codes(800, Draw(clips=(0, 1)), condition=condition, chunk=800)
    assert np.array_equal(module.codec.decode(codes).numpy(), [clip.generated for clip in clips])
    assert [clip.condition for clip in clips] == [f"envelope of {clip.key}" for clip in clips]
    [other] = module.stream_codes(800, Draw(clips=(0, 1)), condition=condition.flip(0), chunk=800)
    assert not torch.equal(codes, other), "the condition makes a difference"


def test_recordings_that_cannot_be_read_are_passed_over_and_named(tmp_path, caplog):
    shards = write_shard_set(tmp_path / "set", train=1, val=3, recordings_per_shard=1)
    index = load_index(shards)
    names = [shard.recordings[0].key for shard in index.splits["val"]]

    def keys() -> list[str]:
        split = Split(index.splits["val"], shard_storage(index, shards), index.sample_rate)
        clips, _ = make_clips(
            small_model().eval(), split, seconds=0.1, count=2, seed=0, progress=lambda share: None
        )
        assert all(np.any(clip.recorded) for clip in clips)
        return [clip.key for clip in clips]

    first, second = keys()
    [third] = {*names} - {first, second}
    spoil(shards, f"val/shard-{names.index(first):06d}.tar")
    assert keys() == [second, third] and f"no clip stands beside {first}: " in caplog.text
    spoil(shards, f"val/shard-{names.index(third):06d}.tar")
    assert keys() == [second, second]
    spoil(shards, f"val/shard-{names.index(second):06d}.tar")
    with pytest.raises(BadDataError, match="none of 3 recordings can be read"):
        keys()


def test_recordings_come_again_and_short_ones_stay_short(split):
    torch.manual_seed(0)
    clips, _ = make_clips(
        small_model().eval(), split, seconds=0.1, count=8, seed=0, progress=lambda share: None
    )
    assert len({clip.key for clip in clips}) == 6
    assert sorted(len(clip.recorded) for clip in clips) == [400] * 3 + [800] * 5
    assert clips[6].key == clips[0].key and not np.array_equal(clips[6].generated, clips[0].generated)
