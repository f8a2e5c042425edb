"""What a Trainer gets: every batch once, also after a stop, on other numbers of ranks and workers."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch

from tests.shards.made import make_audio, write_shard_set
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule, CropLoader
from wavenet_pl.data.order import check_batch_size
from wavenet_pl.data.pipeline import Share
from wavenet_pl.data.workers import Workers
from wavenet_pl.errors import UserError
from wavenet_pl.training.callbacks.resumption import Resumption

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used"),
]

RECEPTIVE_FIELD = 100


def data_of(folder: Path, **settings: Any) -> AudioDataModule:
    options = {"batch_size": 12, "crop_samples": 500, "num_workers": 0, **settings}
    return AudioDataModule(DataConfig(path=str(folder), **options), receptive_field=RECEPTIVE_FIELD, seed=5)


def loader_of(data: AudioDataModule, share: Share | None = None, workers: int = 0) -> CropLoader:
    return CropLoader(
        data.conditions("train", 0),
        lambda epoch: data.plan("train", epoch),
        share or Share(),
        receptive_field=RECEPTIVE_FIELD,
        workers=Workers(workers),
    )


def rows(batch: dict[str, Any]) -> list[tuple[int, bytes]]:
    audio = batch["audio"].numpy()
    return [(recording, audio[row].tobytes()) for row, recording in enumerate(batch["recording"].tolist())]


@pytest.fixture(scope="module")
def data(shard_set: Path) -> AudioDataModule:
    return data_of(shard_set)


@pytest.fixture(scope="module")
def epochs(data: AudioDataModule) -> list[list[Counter[Any]]]:
    """The global batches of three epochs, read without a stop."""
    loader = loader_of(data)
    return [[Counter(rows(batch)) for batch in loader] for _ in range(3)]


# --- the loader and its state ---


def test_length_is_exact_in_every_epoch(data: AudioDataModule, epochs: list[list[Counter[Any]]]) -> None:
    loader = loader_of(data)
    assert [len(epoch) for epoch in epochs] == [len(loader)] * 3
    assert len(loader) == data.plan("train", 0).num_batches
    assert len(loader_of(data, Share(1, 2, 3))) == 3 * data.plan("train", 0).num_batches


def test_epochs_differ_in_order_and_hold_every_sample(
    data: AudioDataModule, epochs: list[list[Counter[Any]]]
) -> None:
    assert epochs[0] != epochs[1] != epochs[2]
    frames = int(data.splits["train"].frames.sum())
    loader = loader_of(data)
    for _ in range(2):
        assert sum(batch["predictions"] for batch in loader) == frames


def test_state_counts_global_batches_only(data: AudioDataModule) -> None:
    loader = loader_of(data, Share(0, 2, 3))
    assert loader.state_dict() == {"epoch": 0, "batches": 0}
    for number, _ in enumerate(loader, start=1):
        assert loader.state_dict() == {"epoch": 0, "batches": number // 3}
    assert all(type(value) is int for value in loader.state_dict().values())
    next(iter(loader))
    assert loader.epoch == 1


def read_from(
    data: AudioDataModule, state: dict[str, int], world_size: int, parts: int, workers: int, stop: int
) -> tuple[list[Counter[Any]], dict[str, int]]:
    """Up to `stop` global batches over all ranks from a state on, and the state then."""
    states, shares = [], []
    for rank in range(world_size):
        loader = loader_of(data, Share(rank, world_size, parts), workers)
        loader.load_state_dict(state)
        got = []
        while len(got) < stop * parts:
            for batch in loader:
                got.append(rows(batch))
                if len(got) == stop * parts:
                    break
        shares.append(got)
        states.append(loader.state_dict())
    assert all(state == states[0] for state in states), "every rank saves the same state"
    batches = [
        Counter(row for got in shares for part in got[at : at + parts] for row in part)
        for at in range(0, stop * parts, parts)
    ]
    return batches, states[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_is_stopped_anywhere_sees_what_an_unstopped_one_sees(
    data: AudioDataModule, epochs: list[list[Counter[Any]]], seed: int
) -> None:
    """Each time on another number of ranks, accumulated batches and workers."""
    generator = random.Random(seed)
    whole = [batch for epoch in epochs for batch in epoch]
    state, seen = {"epoch": 0, "batches": 0}, 0
    while seen < len(whole):
        world_size, parts = generator.choice([(1, 1), (1, 3), (2, 1), (2, 2), (3, 1), (4, 1), (3, 4)])
        stop = min(generator.randint(1, 9), len(whole) - seen)
        workers = generator.choice([0, 0, 0, 1, 2])
        batches, state = read_from(data, state, world_size, parts, workers, stop)
        assert batches == whole[seen : seen + stop]
        seen += stop
        assert state["epoch"] * len(epochs[0]) + state["batches"] == seen


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 1])
def test_resume_at_every_batch_of_an_epoch_gives_its_tail(
    data: AudioDataModule, epochs: list[list[Counter[Any]]], epoch: int
) -> None:
    for first in range(len(epochs[epoch])):
        for world_size, parts, workers in ((1, 1, 2), (2, 3, 0), (4, 1, 0)):
            state = {"epoch": epoch, "batches": first}
            batches, _ = read_from(data, state, world_size, parts, workers, len(epochs[epoch]) - first)
            assert batches == epochs[epoch][first:]


def test_a_state_in_the_middle_of_accumulation_begins_that_batch_again(data: AudioDataModule) -> None:
    loader = loader_of(data, Share(0, 1, 3))
    batches = iter(loader)
    got = [rows(next(batches)) for _ in range(5)]
    other = loader_of(data, Share(0, 1, 3))
    other.load_state_dict(loader.state_dict())
    assert other.state_dict() == {"epoch": 0, "batches": 1}
    assert rows(next(iter(other))) == got[3]


def test_a_state_at_the_end_of_an_epoch_begins_the_next(
    data: AudioDataModule, epochs: list[list[Counter[Any]]]
) -> None:
    loader = loader_of(data)
    loader.load_state_dict({"epoch": 0, "batches": len(loader)})
    assert Counter(rows(next(iter(loader)))) == epochs[1][0]


# --- in a Trainer ---


class Recorder(L.LightningModule):
    """Trains one weight and keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.automatic_optimization = True
        self.trained: list[Counter[Any]] = []
        self.steps: list[Counter[Any]] = []
        """What each optimizer step was made of."""
        self.validated: list[Any] = []
        self._summed = Counter[Any]()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        self.trained.append(Counter(rows(batch)))
        self._summed += self.trained[-1]
        return self.weight * batch["predictions"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.steps.append(self._summed)
        self._summed = Counter()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validated.append(rows(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data: AudioDataModule, checkpoint: Path | None = None, **settings: Any) -> tuple[Recorder, L.Trainer]:
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[Resumption()],
        **settings,
    )
    recorder = Recorder()
    trainer.fit(recorder, datamodule=data, ckpt_path=None if checkpoint is None else str(checkpoint))
    return recorder, trainer


@pytest.mark.parametrize(("steps", "more"), [(4, {}), (9, {"val_check_interval": 3})])
def test_a_trainer_goes_on_with_the_next_batch(
    shard_set: Path, tmp_path: Path, epochs: list[list[Counter[Any]]], steps: int, more: dict[str, Any]
) -> None:
    whole = [batch for epoch in epochs for batch in epoch]
    first, trainer = fit(data_of(shard_set, num_workers=steps % 2), max_steps=steps, **more)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    assert first.trained == whole[:steps]
    second, _ = fit(data_of(shard_set), tmp_path / "stop.ckpt", max_steps=steps + 8, **more)
    assert second.trained == whole[steps : steps + 8]


@pytest.mark.parametrize("more", [{}, {"limit_val_batches": 0}], ids=["validated", "never validated"])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (3, 1), (4, 4)])
@pytest.mark.parametrize("at_end", [False, True], ids=["within an epoch", "at its end"])
def test_each_step_is_a_whole_batch_whatever_was_accumulated_before(
    shard_set: Path, tmp_path: Path, epochs: list[list[Counter[Any]]],
    before: int, after: int, at_end: bool, more: dict[str, Any],
) -> None:  # fmt: skip
    whole = [batch for epoch in epochs for batch in epoch]
    stop, end = len(epochs[0]) - (not at_end), len(epochs[0]) + 3
    first, trainer = fit(data_of(shard_set), max_steps=stop, accumulate_grad_batches=before, **more)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    second, trainer = fit(
        data_of(shard_set), tmp_path / "stop.ckpt", max_steps=end, accumulate_grad_batches=after, **more
    )
    assert [*first.steps, *second.steps] == whole[:end]
    assert trainer.current_epoch == 2, "as often as it begins one"


@pytest.mark.parametrize("more", [{}, {"limit_val_batches": 0}], ids=["validated", "never validated"])
def test_a_training_that_ended_by_its_epochs_goes_on_with_the_next_one(
    shard_set: Path, tmp_path: Path, epochs: list[list[Counter[Any]]], more: dict[str, Any]
) -> None:
    first, trainer = fit(data_of(shard_set), max_epochs=1, **more)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    second, trainer = fit(data_of(shard_set), tmp_path / "stop.ckpt", max_epochs=3, **more)
    assert [first.trained, second.trained] == [epochs[0], epochs[1] + epochs[2]]
    assert trainer.current_epoch == 3


def test_what_says_nothing_of_the_loops_is_nothing_to_go_on_from(shard_set: Path, tmp_path: Path) -> None:
    _, trainer = fit(data_of(shard_set), max_steps=1)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    checkpoint = torch.load(tmp_path / "stop.ckpt")
    for damaged in ({}, {"fit_loop": None}, {"fit_loop": {"epoch_progress": {"current": {"started": "1"}}}}):
        torch.save({**checkpoint, "loops": damaged}, tmp_path / "damaged.ckpt")
        with pytest.raises(UserError, match="does not record where in its training it was saved"):
            fit(data_of(shard_set), tmp_path / "damaged.ckpt", max_steps=2)


def test_validation_begins_anew_each_time_however_short_it_is_kept(shard_set: Path) -> None:
    recorder, _ = fit(
        data_of(shard_set, batch_size=4), max_epochs=3, limit_val_batches=2, limit_train_batches=1
    )
    assert len(recorder.validated) == 6
    assert recorder.validated[:2] == recorder.validated[2:4] == recorder.validated[4:]
    assert [recording for recording, _ in recorder.validated[0]] == [0, 0, 0, 0]


def test_an_indivisible_batch_stops_before_the_first_step(shard_set: Path) -> None:
    with pytest.raises(UserError, match="data.batch_size is 12, expected a multiple of 5"):
        fit(data_of(shard_set), max_steps=1, accumulate_grad_batches=5)


# --- what it says ---


def test_index_facts_are_handed_on(shard_set: Path, data: AudioDataModule) -> None:
    assert data.sample_rate == 8_000
    assert data.shard_set.fingerprint == data.plan("train", 0).fingerprint
    assert set(data.splits) == {"train", "val", "test"}
    assert data.plan("train", 2).shuffle
    assert not data.plan("val", 2).shuffle
    audio = data.splits["val"].read(1, 100, 300)
    assert np.array_equal(audio, make_audio(7_000, seed=9)[100:300].astype(np.float32) / 32768)


@pytest.mark.parametrize(("batch_size", "world_size", "parts"), [(8, 8, 1), (8, 2, 4), (1, 1, 1), (6, 3, 2)])
def test_divisible_batches_pass(batch_size: int, world_size: int, parts: int) -> None:
    check_batch_size(batch_size, world_size, parts)


@pytest.mark.parametrize(
    ("batch_size", "world_size", "parts", "advice"),
    [(10, 4, 1, "use 8 or 12"), (10, 2, 3, "use 6 or 12"), (2, 4, 1, "use 4"), (7, 3, 2, "use 6 or 12")],
)
def test_indivisible_batches_name_the_nearest_sizes(
    batch_size: int, world_size: int, parts: int, advice: str
) -> None:
    with pytest.raises(
        UserError, match=f"data.batch_size is {batch_size}, expected a multiple of .*; {advice}$"
    ):
        check_batch_size(batch_size, world_size, parts)


@pytest.mark.parametrize(("counts", "lacking"), [({"val": 0}, "val"), ({"train": 0}, "train")])
def test_a_set_without_a_split_says_which(tmp_path: Path, counts: dict[str, int], lacking: str) -> None:
    folder = write_shard_set(tmp_path, **{"train": 2, "val": 1, "frames": 600, **counts})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"has no recording in split '{lacking}', expected at least one"):
        data_of(folder)
