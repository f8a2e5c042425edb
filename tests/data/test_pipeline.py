"""From a plan to batches: the right samples, each once, the same for any number of ranks and workers.

Shapes: B crops of a batch, T = receptive_field + crop_samples.
"""

from __future__ import annotations

import io
import operator
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset import DataPipeline

from tests.shards.damages import DAMAGES, TABLES, overwrite
from tests.shards.http_server import serving
from tests.shards.made import make_audio, write_shard_set
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.order import EpochPlan
from wavenet_pl.data.pipeline import Crop, Share, Slot, build_pipeline, cropped, planned
from wavenet_pl.data.workers import Workers, read_ahead
from wavenet_pl.errors import BadDataError
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.scan import scan_shard
from wavenet_pl.shards.split import Split
from wavenet_pl.shards.storage import Patience, Storage
from wavenet_pl.shards.survey import index_of

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

LENGTHS = (4_000, 7_000, 2_500, 5_501)  # of the recordings in turn, as shards.py has them
CROP, RECEPTIVE_FIELD = 900, 150


def split_of(folder: Path, name: str = "train") -> Split:
    index = load_index(folder)
    return Split(index.splits[name], shard_storage(index, folder), index.sample_rate)


def plan_of(split: Split, *, batch_size: int = 4, shuffle: bool = True, **changes: Any) -> EpochPlan:
    options = {"seed": 3, "epoch": 1, "crop_samples": CROP, "fingerprint": "f", **changes}
    return EpochPlan(frames=split.frames, batch_size=batch_size, shuffle=shuffle, **options)


def audio_of(position: int) -> np.ndarray:
    """The samples of training recording `position` as they were made."""
    return make_audio(LENGTHS[position % 4], seed=position).astype(np.float32) / 32768


def batches(
    split: Split,
    plan: EpochPlan,
    share: Share | None = None,
    *,
    workers: int = 0,
    start: str = "fork",
    first_batch: int = 0,
) -> list[dict[str, Any]]:
    """What one rank gets, through real worker processes."""
    pipeline = build_pipeline(
        Conditions(split), plan, share or Share(), first_batch=first_batch, receptive_field=RECEPTIVE_FIELD,
        workers=Workers(workers, start),
    )  # fmt: skip
    return list(pipeline)


def rows(batch: dict[str, Any]) -> Iterator[tuple[int, int, int, bytes]]:
    """(recording, begin, count, samples) of each crop."""
    for recording, begin, count, audio in zip(
        batch["recording"].tolist(),
        batch["begin"].tolist(),
        batch["counted"].sum(1).tolist(),
        batch["audio"],
        strict=True,
    ):
        yield recording, begin, count, audio.numpy().tobytes()


def counted_of(batch: dict[str, Any], row: int) -> np.ndarray:
    """The samples of a crop whose predictions count."""
    audio: np.ndarray = batch["audio"][row].numpy()
    return audio[len(audio) - int(batch["counted"][row].sum()) :]


def global_batches(shares: dict[tuple[int, int], list[dict[str, Any]]], parts: int) -> list[Counter[Any]]:
    """The crops of each global batch, from what every (rank, world size) got."""
    length = {len(got) for got in shares.values()}
    assert len(length) == 1, "every rank makes the same number of steps"
    return [
        Counter(row for got in shares.values() for batch in got[at : at + parts] for row in rows(batch))
        for at in range(0, length.pop(), parts)
    ]


@pytest.fixture(scope="module")
def split(shard_set: Path) -> Split:
    """Eight recordings in two shards."""
    return split_of(shard_set)


# --- one crop ---


def check_crop(crop: Crop, audio: np.ndarray, receptive_field: int, crop_samples: int) -> None:
    """A crop against the recording, sample by sample, as the network will use it."""
    slot = crop.slot
    recording = np.concatenate([[0.0], audio]).astype(
        np.float32
    )  # recording[p + 1] is sample p; p = -1 is silence
    length = receptive_field + crop_samples
    assert crop.audio.shape == (length,) and crop.count == slot.stop - slot.start <= crop_samples
    # Whether the recording begins in it or not, each place has the sample that lies so far before the slot's stop.
    first = slot.stop - length
    known = recording[max(0, first + 1) : slot.stop + 1]
    assert np.array_equal(crop.audio[length - len(known) :], known)
    assert crop.begin == max(0, -1 - first), "where the silence before the recording is"
    assert not crop.audio[: crop.begin].any(), "nothing before that"
    assert crop.begin == 0 or slot.start - receptive_field < crop_samples


@given(data=st.data())
@settings(max_examples=25)
def test_counted_outputs_see_their_whole_receptive_field_or_the_true_beginning(
    split: Split, data: st.DataObject
) -> None:
    crop_samples = data.draw(st.integers(1, 1_500), "crop_samples")
    receptive_field = data.draw(st.integers(1, 2_000), "receptive_field")
    position = data.draw(st.integers(0, 7), "recording")
    frames = split[position].frames
    start = data.draw(st.integers(0, frames - 1) | st.integers(0, min(3, frames - 1)), "start")
    stop = data.draw(st.integers(start + 1, min(start + crop_samples, frames)), "stop")
    ((crop,),) = cropped(Conditions(split), receptive_field, crop_samples, [[Slot(position, start, stop, 1)]])
    check_crop(crop, audio_of(position), receptive_field, crop_samples)
    assert crop.key == f"rec-{position:05d}"


@pytest.mark.parametrize(("receptive_field", "crop_samples"), [(1, 1), (64, 5_000), (8_000, 1_000)])
def test_every_slot_of_an_epoch_is_cut_right(split: Split, receptive_field: int, crop_samples: int) -> None:
    plan = plan_of(split, crop_samples=crop_samples, batch_size=64)
    [crops] = cropped(Conditions(split), receptive_field, crop_samples, islice(planned(plan, Share(), 0), 1))
    for crop in crops:
        if crop.slot.recording >= 0:
            check_crop(crop, audio_of(crop.slot.recording), receptive_field, crop_samples)


def test_outputs_of_the_network_on_a_crop_are_those_on_the_whole_recording(split: Split) -> None:
    """The first of a recording's predictions have the zeros before it, the others their whole receptive field."""
    from wavenet_pl.codec import MuLawCodec
    from wavenet_pl.network import NetworkConfig, WaveNet

    torch.manual_seed(0)
    config = NetworkConfig(
        stacks=1, layers_per_stack=4, residual_channels=4, gate_channels=8, skip_channels=4
    )
    network, codec = WaveNet(config).double().eval(), MuLawCodec()
    silence = torch.zeros(1)
    with torch.inference_mode():
        whole_KT = network(codec.encode(torch.cat([silence, torch.from_numpy(audio_of(0))]))[None, :-1])[0][0]
        slots = [Slot(0, 0, 30, 1), Slot(0, 5, 90, 1), Slot(0, 16, 20, 1), Slot(0, 3_950, 4_000, 1)]
        [crops] = cropped(Conditions(split), config.receptive_field, 90, [slots])
        for crop in crops:
            codes_1T, begins = (
                codec.encode(torch.from_numpy(crop.audio))[None, :-1],
                torch.tensor([crop.begin]),
            )
            outputs_KU = network(codes_1T, last=crop.count, begins_B=begins)[0][0]
            torch.testing.assert_close(outputs_KU, whole_KT[:, crop.slot.start : crop.slot.stop])


# --- batches ---


def test_batches_have_their_fields_and_exact_counts(split: Split) -> None:
    plan = plan_of(split)
    got = batches(split, plan)
    assert len(got) == plan.num_batches
    for number, batch in enumerate(got):
        assert set(batch) >= {"audio", "begin", "counted", "recording", "predictions", "keys"}
        assert batch["audio"].shape == (4, RECEPTIVE_FIELD + CROP)
        assert batch["audio"].dtype == torch.float32
        assert batch["begin"].dtype == batch["recording"].dtype == torch.int64
        assert batch["predictions"] == int(batch["counted"].sum())
        assert batch["recording"].tolist() == plan.windows(plan.batch(number)).recording.tolist()
        names = [
            f"rec-{recording:05d}" if recording >= 0 else "" for recording in batch["recording"].tolist()
        ]
        assert batch["keys"] == names
        assert batch["bad"] == []
    assert sum(batch["predictions"] for batch in got) == int(split.frames.sum())


def test_padding_counts_for_nothing(split: Split) -> None:
    plan = plan_of(split, batch_size=64)
    (batch,) = batches(split, plan)
    padding = batch["recording"] == -1
    assert int(padding.sum()) == 64 - plan.num_slots
    assert not batch["audio"][padding].any()
    assert not batch["counted"][padding].any()
    assert batch["predictions"] == int(split.frames.sum())


def test_every_validation_sample_is_predicted_exactly_once_in_order(shard_set: Path) -> None:
    split = split_of(shard_set, "val")
    plan = plan_of(split, shuffle=False)
    predicted: list[list[np.ndarray]] = [[], []]
    for batch in batches(split, plan):
        for row, recording in enumerate(batch["recording"].tolist()):
            if recording >= 0:
                predicted[recording].append(counted_of(batch, row))
    for position, pieces in enumerate(predicted):
        assert np.array_equal(np.concatenate(pieces), split.read(position))


def test_every_training_sample_is_predicted_exactly_once_per_epoch(split: Split) -> None:
    for epoch in range(3):
        plan = plan_of(split, epoch=epoch)
        seen = [np.zeros(frames, dtype=int) for frames in split.frames]
        for number, batch in enumerate(batches(split, plan)):
            windows = plan.windows(plan.batch(number))
            for row, recording in enumerate(batch["recording"].tolist()):
                if recording >= 0:
                    start, stop = windows.start[row], windows.stop[row]
                    assert np.array_equal(counted_of(batch, row), audio_of(recording)[start:stop])
                    seen[recording][start:stop] += 1
        assert all((row == 1).all() for row in seen)


# --- ranks, accumulation, workers ---


def check_split_of_work(
    split: Split, plan: EpochPlan, world_size: int, parts: int, workers: int, start: str
) -> None:
    whole = global_batches({(0, 1): batches(split, plan)}, parts=1)
    shares = {
        (rank, world_size): batches(split, plan, Share(rank, world_size, parts), workers=workers, start=start)
        for rank in range(world_size)
    }
    assert global_batches(shares, parts) == whole, "the same global batch at every step"
    predictions = [[got[at]["predictions"] for at in range(0, len(got), parts)] for got in shares.values()]
    assert all(row == predictions[0] for row in predictions)
    seen = Counter(row for batch in whole for row in batch.elements() if row[0] >= 0)
    assert len(seen) == plan.num_slots
    assert set(seen.values()) == {1}, "every slot exactly once"


@pytest.mark.parametrize(
    ("world_size", "parts", "workers"), [(1, 1, 1), (1, 3, 0), (2, 1, 0), (2, 2, 2), (3, 1, 0), (4, 3, 0)]
)
def test_ranks_and_workers_read_each_slot_once(
    split: Split, world_size: int, parts: int, workers: int
) -> None:
    check_split_of_work(split, plan_of(split, batch_size=12), world_size, parts, workers, "fork")


@pytest.mark.parametrize(
    ("world_size", "workers", "recordings_per_shard"),
    [
        # Each number of ranks and each of workers with both kinds of shards, and then all with all.
        pytest.param(*each, marks=pytest.mark.soak if sum(each) % 5 else pytest.mark.slow)
        for each in product(range(1, 9), range(5), [1, 16])
    ],
)
def test_ranks_and_forked_workers_read_each_slot_once_for_all_numbers(
    tmp_path: Path, world_size: int, workers: int, recordings_per_shard: int
) -> None:
    folder = write_shard_set(
        tmp_path, train=16, val=0, frames=LENGTHS, recordings_per_shard=recordings_per_shard
    )
    split = split_of(folder)
    check_split_of_work(split, plan_of(split, batch_size=2 * world_size), world_size, 2, workers, "fork")


@pytest.mark.slow
@pytest.mark.parametrize(("world_size", "workers"), [(1, 3), (2, 2), (3, 1)])
def test_ranks_and_spawned_workers_read_each_slot_once(split: Split, world_size: int, workers: int) -> None:
    check_split_of_work(split, plan_of(split, batch_size=12), world_size, 1, workers, "spawn")


@pytest.mark.parametrize(("workers", "recordings"), [(1, 8), (2, 8), (3, 8), (3, 1)])
def test_workers_change_neither_the_batches_nor_their_order(
    split: Split, workers: int, recordings: int
) -> None:
    some = split.at(np.arange(recordings))
    plan = plan_of(some)
    alone, together = batches(some, plan), batches(some, plan, workers=workers)
    assert len(together) == len(alone)
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            same = torch.equal if isinstance(value, torch.Tensor) else operator.eq
            assert same(value, other[name]), name


def test_each_worker_reads_recordings_of_its_own(split: Split) -> None:
    planning = partial(planned, plan_of(split), Share(), 0)
    taken: list[set[int]] = [set(), set(), set()]
    parts = read_ahead(DataPipeline(planning, recordings_of), Workers(3, "fork"))
    for part, own in zip(parts, cycle(taken), strict=False):
        own |= part["recordings"]
    assert [len(own - {-1}) for own in taken] == [3, 3, 2]
    assert set.union(*taken) - {-1} == set(range(8))


def recordings_of(stretches: Iterable[list[Slot]]) -> Iterator[dict[str, Any]]:
    """Of each stretch, as it comes from a worker."""
    for stretch in stretches:
        yield {"recordings": {slot.recording for slot in stretch}}


def test_reading_can_begin_at_any_global_batch(split: Split) -> None:
    plan = plan_of(split, batch_size=6)
    whole = batches(split, plan)
    for first in range(plan.num_batches + 1):
        for world_size, parts, workers in ((1, 1, 0), (2, 1, 0), (3, 2, 0)):
            shares = {
                (rank, world_size): batches(
                    split, plan, Share(rank, world_size, parts), first_batch=first, workers=workers
                )
                for rank in range(world_size)
            }
            tail = global_batches({(0, 1): whole[first:]}, parts=1)
            assert global_batches(shares, parts) == tail
    assert [list(rows(batch)) for batch in batches(split, plan, first_batch=3, workers=2)] == [
        list(rows(batch)) for batch in whole[3:]
    ]


# --- damage ---


KINDS = {
    "broken header": {"broken header", "moved"},
    "cut at a member": {"cut shard"},
    "cut between recordings": {"cut shard"},
    "cut payload": {"cut shard"},
    "interleaved": {"moved", "cut shard"},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_after_indexing_is_counted_and_never_trained_on(tmp_path: Path, damage: str) -> None:
    folder = write_shard_set(tmp_path, train=8, val=0)
    split = split_of(folder)
    lost = DAMAGES[damage](folder / "train/shard-000000.tar")
    plan = plan_of(split)
    whole_keys, bad_keys = set(), set()
    got = batches(split, plan)
    for number, batch in enumerate(got):
        windows = plan.windows(plan.batch(number))
        assert batch["predictions"] == windows.predictions, "the plan does not change"
        broken = [damage.key for damage in batch["bad"]]
        assert {damage.shard for damage in batch["bad"]} <= {"train/shard-000000.tar"}
        assert {damage.kind for damage in batch["bad"]} <= KINDS[damage]
        for row, recording in enumerate(batch["recording"].tolist()):
            if recording < 0:
                continue
            key, count = batch["keys"][row], int(batch["counted"][row].sum())
            if count == 0:
                assert key in broken
                assert not batch["audio"][row].any(), "nothing of it reaches the network"
                bad_keys.add(key)
                continue
            start, stop = windows.start[row], windows.stop[row]
            assert np.array_equal(counted_of(batch, row), audio_of(recording)[start:stop])
            assert count == stop - start
            whole_keys.add(key)
    assert len(got) == plan.num_batches, "the stream is not shifted"
    assert bad_keys <= {f"rec-{number:05d}" for number in range(4)}
    assert whole_keys >= {f"rec-{number:05d}" for number in range(4, 8)}
    if damage.startswith("cut"):
        assert bad_keys
        assert bad_keys <= lost
    elif damage == "broken header":
        assert bad_keys == lost
    else:
        assert bad_keys == lost - {"rec-00000"}, "the first member alone is where it was"


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_a_repacked_shard_gives_no_wrong_audio(tmp_path: Path, extension: str) -> None:
    """An older index on a shard with other members in other places."""
    path = tmp_path / "train/a.tar"
    path.parent.mkdir()

    def pack(numbers: list[int]) -> None:
        with tarfile.open(path, "w") as tar:
            for number in numbers:
                buffer = io.BytesIO()
                soundfile.write(
                    buffer, make_audio(1_000 + 9 * number, seed=number), 8000, format=extension.upper()
                )
                header = tarfile.TarInfo(f"k{number}.{extension}")
                header.size = len(buffer.getvalue())
                tar.addfile(header, io.BytesIO(buffer.getvalue()))

    pack([0, 1, 2, 3, 4])
    index = index_of({"train": [scan_shard(Storage(str(tmp_path)), "train/a.tar", TABLES)]}, None)
    pack([0, 2, 4, 1, 3])
    split = Split(index.splits["train"], Storage(str(tmp_path)), index.sample_rate)
    assert np.array_equal(split.read(0), make_audio(1_000, seed=0).astype(np.float32) / 32768)
    for position in range(1, 5):
        with pytest.raises(BadDataError, match=f"k{position} in train/a.tar"):
            split.read(position)


def test_a_missing_shard_is_counted_and_named(tmp_path: Path) -> None:
    folder = write_shard_set(tmp_path, train=8, val=0)
    split = split_of(folder)
    (folder / "train/shard-000001.tar").unlink()
    got = batches(split, plan_of(split))
    bad = {damage for batch in got for damage in batch["bad"]}
    found = f"cannot be read (No such file or directory: {folder}/train/shard-000001.tar)"
    assert bad == {
        Damage("train/shard-000001.tar", f"rec-{number:05d}", "missing shard", found)
        for number in range(4, 8)
    }
    counted = sum(int(batch["counted"].sum()) for batch in got)
    assert counted == int(split.frames[:4].sum())


def test_what_is_wrong_with_recordings_comes_through_worker_processes(tmp_path: Path) -> None:
    folder = write_shard_set(tmp_path, train=8, val=0)
    split = split_of(folder)
    DAMAGES["cut payload"](folder / "train/shard-000000.tar")
    plan = plan_of(split)
    assert [batch["bad"] for batch in batches(split, plan, workers=2)] == [
        batch["bad"] for batch in batches(split, plan)
    ]


@pytest.mark.parametrize(
    ("world_size", "parts", "workers"), [(1, 1, 0), (1, 1, 2), (2, 1, 0), (2, 2, 1), (3, 1, 0), (4, 3, 0)]
)
def test_damage_changes_no_byte_of_any_other_slot(
    tmp_path: Path, world_size: int, parts: int, workers: int
) -> None:
    folder = write_shard_set(tmp_path, train=12, val=0)
    split = split_of(folder)
    plan = plan_of(split, batch_size=12)
    shares = [Share(rank, world_size, parts) for rank in range(world_size)]
    sound = [batches(split, plan, share, workers=workers) for share in shares]
    overwrite(folder / "train/shard-000000.tar", "rec-00002.flac", b"fLaC" + bytes(3_000))
    DAMAGES["cut payload"](folder / "train/shard-000001.tar")
    lost = {"rec-00002", "rec-00006", "rec-00007"}
    for share, before in zip(shares, sound, strict=True):
        for was, now in zip(before, batches(split_of(folder), plan, share, workers=workers), strict=True):
            assert (now["keys"], now["predictions"]) == (was["keys"], was["predictions"])
            bad = [key for key in now["keys"] if key in lost]
            assert [damage.key for damage in now["bad"]] == bad
            for key, one, other in zip(now["keys"], rows(was), rows(now), strict=True):
                assert other == (one if key not in lost else (one[0], 0, 0, bytes(len(one[3]))))


# --- far away ---


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_server_that_falters_changes_nothing(shard_set: Path, split: Split, workers: int) -> None:
    with serving(shard_set) as server:
        patience = Patience(request=5, total=30, pause=0.01)
        far = Split(load_index(server.url).splits["train"], Storage(server.url, patience), 8_000)
        assert far.read(0).any()  # a client is open when workers are forked
        # One is short: who gets two such in a row takes it for the end, and requests come in any order.
        server.troubles = ["503", "", "drop", "", "short", "429", "", "", "503", "drop", "429", ""]
        plan = plan_of(split)
        got = batches(far, plan, workers=workers)
        assert [list(rows(batch)) for batch in got] == [list(rows(batch)) for batch in batches(split, plan)]
        assert not any(batch["bad"] for batch in got)
        assert not server.troubles


def test_several_requests_are_in_flight_and_crops_stay_in_order(shard_set: Path, split: Split) -> None:
    with serving(shard_set) as server:
        far = Split(load_index(server.url).splits["train"], Storage(server.url), 8_000)
        server.latency = 0.02
        plan = plan_of(split)
        got = batches(far, plan)
        assert [list(rows(batch)) for batch in got] == [list(rows(batch)) for batch in batches(split, plan)]
        assert 4 <= server.at_once <= 8


def test_crops_of_a_recording_that_follow_one_another_read_it_once(shard_set: Path) -> None:
    """As they do in validation."""
    with serving(shard_set) as server:
        index = load_index(server.url)
        far = Split(index.splits["val"], Storage(server.url), index.sample_rate)
        plan = plan_of(far, crop_samples=100, shuffle=False)
        before, server.asked = server.sent, []
        assert not any(batch["bad"] for batch in batches(far, plan))
        assert plan.num_slots > 100 and len(server.asked) == len(far)
        assert server.sent - before == sum(512 + far[position].audio[1].size for position in range(len(far)))


def test_a_server_that_is_down_costs_its_recordings_and_no_more(shard_set: Path) -> None:
    with serving(shard_set) as server:
        patience = Patience(request=0.2, total=0.3, pause=0.05)
        index = load_index(server.url)
        far = Split(index.splits["val"], Storage(server.url, patience), index.sample_rate)
        server.always = "503"
        bad = far.try_read(0)
        assert isinstance(bad, Damage)
        assert bad.kind == "unreadable shard"
        assert re.search(r"cannot be read \(.*503.*, after repeated requests for 0.3 s\)", bad.found)
        server.always = "404"
        assert getattr(far.try_read(0), "kind", "") == "missing shard"
        server.always = "short"
        assert getattr(far.try_read(0), "kind", "") == "cut shard"
        server.always = ""
        assert not isinstance(far.try_read(0), Damage), "it is asked anew each time"
