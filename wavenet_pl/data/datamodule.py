"""Feeds a Trainer: which batches, in which order, from where on after a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import lightning.pytorch as L

from wavenet_pl.config.training import DataConfig
from wavenet_pl.config.tree import Config
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.keeper import Keeper
from wavenet_pl.data.order import EpochPlan, check_batch_size
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.data.plans import epoch_plan, near_limit, node_agenda, with_decoded
from wavenet_pl.data.workers import NO_WORKERS, Workers
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.known import build_inputs, check_set
from wavenet_pl.shards.shard_set import ShardSet, open_set


class CropLoader:
    """Batches of one rank, epoch after epoch. Its whole state is (epoch, global batches consumed).

    The state says nothing of ranks or workers: a run may go on with other numbers of both.

    Args:
        conditions: what is read, and what the model is conditioned on.
        plan: epoch number -> plan of that epoch. All plans have the same number of batches.
        share: the part of each global batch that this rank takes.
        receptive_field: samples of context before each crop.
        workers: processes that read.
        goes_on: whether an epoch that was left in the middle goes on; if not, each iteration begins anew.
        keeper: is told how far the training is.
    """

    def __init__(
        self,
        conditions: Conditions,
        plan: Callable[[int], EpochPlan],
        share: Share,
        *,
        receptive_field: int,
        workers: Workers = NO_WORKERS,
        goes_on: bool = True,
        keeper: Keeper | None = None,
    ) -> None:
        self._conditions, self._plan, self._share = conditions, plan, share
        self._receptive_field, self._workers = receptive_field, workers
        self._length = plan(0).num_batches * share.parts
        self._goes_on, self._keeper = goes_on, keeper
        self.epoch = 0
        self._consumed = 0  # batches of this rank, in this epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not self._goes_on:
            self._consumed = 0
        elif self._consumed >= self._length:
            self.epoch, self._consumed = self.epoch + 1, 0
        self._say_position()
        pipeline = build_pipeline(
            self._conditions,
            self._plan(self.epoch),
            self._share,
            first_batch=self._consumed // self._share.parts,
            receptive_field=self._receptive_field,
            workers=self._workers,
        )
        for batch in pipeline:
            self._consumed += 1  # before the batch is used: whoever saves afterwards has used it
            self._say_position()
            yield batch

    def _say_position(self) -> None:
        if self._keeper is not None:
            self._keeper.at(self.epoch, self._consumed // self._share.parts)

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the global batches of it that were used."""
        return {"epoch": self.epoch, "batches": self._consumed // self._share.parts}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next iteration goes on from this state."""
        self.epoch, self._consumed = state["epoch"], state["batches"] * self._share.parts


class AudioDataModule(L.LightningDataModule):
    """Training, validation and test crops from a shard set.

    A Trainer is not needed: without one its loaders give all batches, as on rank 0 of 1.

    Args:
        config: what to read.
        receptive_field: samples of context before each crop.
        seed: of the order.
        shard_set: the set, where the caller has opened it already.
        inputs: names of what the model is conditioned on, beside the audio.
        frame_context: frames of local inputs before and after those of a crop.

    Raises:
        UserError: there is no usable index, or it lacks a split or an input.
    """

    def __init__(
        self,
        config: DataConfig,
        *,
        receptive_field: int,
        seed: int,
        shard_set: ShardSet | None = None,
        inputs: tuple[str, ...] = (),
        frame_context: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.receptive_field, self.seed = config, receptive_field, seed
        self.frame_context = frame_context
        self.shard_set = open_set(config.path) if shard_set is None else shard_set
        check_set(self.shard_set, inputs)
        self._keeper: Keeper | None = None
        if config.cache is not None:
            self.shard_set = self.shard_set.near(config.cache)
        self.labels = self.shard_set.labels.of(inputs)
        self.inputs = build_inputs(inputs, self.labels)
        self.splits = {name: self.shard_set.split(name, inputs) for name in self.shard_set.splits}
        lacking = [
            (source.name, "train") for source in self.shard_set.sources if not source.index.seconds("train")
        ]
        lacking += [] if self.splits.get("val") else [(self.shard_set.name, "val")]
        for path, name in lacking:
            raise UserError(
                f"{path} has no recording in split {name!r}, expected at least one; prepare it again with more "
                "recordings or a larger --val-fraction"
            )

    @classmethod
    def from_config(cls, config: Config, shard_set: ShardSet | None = None) -> AudioDataModule:
        """What a model of this config is trained on.

        Args:
            config: of the whole training.
            shard_set: its data, where the caller has opened them already.

        Raises:
            UserError: there is no usable index, or it lacks a split or an input.
        """
        return cls(
            config.data,
            receptive_field=config.model.network.receptive_field,
            seed=config.seed,
            shard_set=shard_set,
            inputs=config.model.inputs,
            frame_context=config.model.condition.frame_context,
        )

    @property
    def sample_rate(self) -> int:
        """Samples per second of every recording."""
        return self.shard_set.sample_rate

    @property
    def hours(self) -> dict[str, float]:
        """Split -> hours of audio in it."""
        return {split: self.shard_set.seconds(split) / 3600 for split in self.splits}

    @property
    def num_batches(self) -> dict[str, int]:
        """Split -> global batches of an epoch over it."""
        return {split: self.plan(split, 0).num_batches for split in self.splits}

    @cached_property
    def hours_per_step(self) -> float:
        """Hours of audio that an optimizer step of the training learns to predict, as the mean over an epoch."""
        plan = self.plan("train", 0)
        return plan.predictions / plan.num_batches / self.sample_rate / 3600

    def plan(self, split: str, epoch: int) -> EpochPlan:
        """The order of one epoch over a split; shuffled for training only."""
        return epoch_plan(
            self.config,
            self.splits[split],
            self.shard_set,
            seed=self.seed,
            epoch=epoch,
            shuffle=split == "train",
        )

    def build_keeper(self, trainer: L.Trainer | None) -> Keeper | None:
        """What keeps shards near for all ranks of this node; None where `data.cache` asks for nothing.

        Raises:
            UserError: its limit or the disk is too small.
        """
        if self.config.cache is None:
            return None
        ranks, world_size, parts = range(1), 1, 1
        if trainer is not None:
            first = trainer.global_rank - trainer.local_rank
            ranks = range(first, first + trainer.num_devices)
            world_size, parts = trainer.world_size, trainer.accumulate_grad_batches
        split = self.splits["train"]
        agenda = node_agenda(
            split, lambda epoch: self.plan("train", epoch), ranks, parts=parts, world_size=world_size
        )
        return Keeper(split.shards, agenda, near_limit(self.config, agenda, self.shard_set.near_folders))

    def teardown(self, stage: str) -> None:
        """Called by a Trainer at its end: no shard is fetched any more."""
        if self._keeper is not None:
            self._keeper.stop()

    def train_dataloader(self) -> CropLoader:
        """A new epoch's order each time; goes on where a checkpoint stopped."""
        return self._loader("train")

    def val_dataloader(self) -> CropLoader:
        """Every sample of every validation recording once."""
        return self._loader("val")

    def test_dataloader(self) -> CropLoader:
        """Every sample of every test recording once.

        Raises:
            UserError: there are none.
        """
        if not self.splits.get("test"):
            raise UserError(
                f"{self.shard_set.name} has no recording in split 'test', expected at least one; prepare it again with "
                "a larger --test-fraction, or use the validation split"
            )
        return self._loader("test")

    def conditions(self, split: str, num_columns: int, *, others: bool = False) -> Conditions:
        """What the model is conditioned on, for recordings of a split; arguments as `Conditions`."""
        return Conditions(self.splits[split], self.inputs, num_columns, self.frame_context, others)

    def _loader(self, split: str) -> CropLoader:
        trainer = self.trainer  # without one, as in a notebook, this is all of the data, rank 0 of 1
        rank, world_size, parts, pin_memory = 0, 1, 1, False
        if trainer is not None:
            rank, world_size, parts = trainer.global_rank, trainer.world_size, trainer.accumulate_grad_batches
            pin_memory = trainer.strategy.root_device.type == "cuda"
        check_batch_size(self.config.batch_size, world_size, parts)
        keeper = None
        if split == "train" and (trainer is None or trainer.local_rank == 0):
            self.teardown("fit")  # of an earlier loader
            keeper = self._keeper = self.build_keeper(trainer)
        conditions = self.conditions(
            split, self.receptive_field + self.config.crop_samples - 1, others=split != "train"
        )
        num_rows = self.config.batch_size // world_size
        kept = with_decoded(self.splits[split], self.config, self.plan(split, 0), num_rows)
        return CropLoader(
            replace(conditions, split=kept),
            lambda epoch: self.plan(split, epoch if split == "train" else 0),
            Share(rank, world_size, parts),
            receptive_field=self.receptive_field,
            workers=Workers(self.config.num_workers, self.config.worker_start, pin_memory),
            goes_on=split == "train",
            keeper=keeper,
        )
