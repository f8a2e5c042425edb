"""What an adaptation reads: recordings of the new voice, and, replayed among them, some of the voices before it."""

from __future__ import annotations

from wavenet_pl.config.tree import Config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.order import EpochPlan, ReplayPlan
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.known import build_inputs, check_set
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.shard_set import Location, open_set
from wavenet_pl.shards.split import Split


class AdaptationData(AudioDataModule):
    """Crops of the new voice under the row that it has in the model, with replayed ones in between.

    Args:
        config: of the adaptation; its data are the new voice's.
        labels: of the model, with the new speaker.
        replay: what the base was trained on, under the model's labels; None for the new voice alone.
        replay_share: share of the crops that are replayed.

    Raises:
        UserError: there is no usable index, it lacks a split or an input, or replayed crops cannot go in lanes.
    """

    def __init__(
        self, config: Config, labels: Labels, replay: Split | None = None, replay_share: float = 0.0
    ) -> None:
        super().__init__(
            config.data,
            receptive_field=config.model.network.receptive_field,
            seed=config.seed,
            inputs=config.model.inputs,
            frame_context=config.model.condition.frame_context,
        )
        self.replay_share = replay_share
        self.splits = {
            name: split.relabelled(labels, self.shard_set.name, "the base")
            for name, split in self.splits.items()
        }
        self.labels, self.inputs = labels, build_inputs(config.model.inputs, labels)
        self.voice = self.splits["train"]
        """The new voice's own recordings."""
        if replay is not None:
            if config.data.window is not None:
                raise UserError(
                    f"data.window is {config.data.window}, expected null with --replay, which draws from all of a set; "
                    "leave one of the two out"
                )
            self.splits["train"] += replay

    def plan(self, split: str, epoch: int) -> EpochPlan:
        """The order of one epoch; while training, with the replayed crops."""
        plan = super().plan(split, epoch)
        if split != "train" or len(plan.frames) == len(self.voice):
            return plan
        return ReplayPlan(**plan.facts, own=len(self.voice), replay_share=self.replay_share)


def base_split(path: Location, name: str, sample_rate: int, inputs: tuple[str, ...], labels: Labels) -> Split:
    """A split of a shard set that the base was trained on, or could have been, in the rows of a model.

    Raises:
        UserError: there is none, or the model cannot be told about it.
    """
    shard_set = open_set(path)
    if shard_set.sample_rate != sample_rate:
        raise UserError(
            f"{shard_set.name} has sample rate {shard_set.sample_rate}, expected {sample_rate}, as the base was "
            f"trained on; prepare it again with --sample-rate {sample_rate}"
        )
    check_set(shard_set, inputs)
    if not shard_set.seconds(name):
        raise UserError(
            f"{shard_set.name} has no recording in split {name!r}, expected some; prepare it again"
        )
    return shard_set.split(name, inputs).relabelled(labels, shard_set.name, "the base")
