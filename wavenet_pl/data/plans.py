"""What a config makes of a split: the order of its epochs, and what a node keeps near of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wavenet_pl.audio.wav import SAMPLE_BYTES
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.agenda import Agenda
from wavenet_pl.data.dealing import dealing
from wavenet_pl.data.lanes import LanePlan
from wavenet_pl.data.mixture import LanePass, MixturePlan, Pass
from wavenet_pl.data.order import EpochPlan
from wavenet_pl.errors import UserError
from wavenet_pl.shards.near import NearFolder, NearStorage, room_of
from wavenet_pl.shards.shard_set import ShardSet
from wavenet_pl.shards.split import Split

GIB = 2**30


def epoch_plan(
    config: DataConfig, split: Split, shard_set: ShardSet, *, seed: int, epoch: int, shuffle: bool
) -> EpochPlan:
    """The order of one epoch; without `shuffle`, in index order.

    Args:
        config: which order, and how much at once.
        split: what is read.
        shard_set: which it is of.
        seed: of the order.
        epoch: its number.
        shuffle: whether the order is that of a training.
    """
    plan = EpochPlan(
        frames=split.lengths,
        crop_samples=config.crop_samples,
        batch_size=config.batch_size,
        seed=seed,
        epoch=epoch,
        fingerprint=shard_set.fingerprint,
        shuffle=shuffle,
    )
    if not shuffle:
        return plan
    if len(shard_set.sources) == 1:
        return plan if config.window is None else LanePlan(**plan.facts, **_lanes(config, split))
    deal = dealing(shard_set.parts, config.batch_size)
    sets = []
    for number, (each, source) in enumerate(zip(split.sets, shard_set.sources, strict=True)):
        facts = {**plan.facts, "frames": each.lengths, "epoch": 0, "fingerprint": source.index.fingerprint}
        facts |= {"dealing": deal, "number": number}
        if config.window is not None:
            facts |= {"batch_size": deal.lanes(number), **_lanes(config, each)}
        sets.append(Pass(**facts) if config.window is None else LanePass(**facts))
    return MixturePlan(**plan.facts, sets=tuple(sets), dealing=deal)


def _lanes(config: DataConfig, split: Split) -> dict[str, Any]:
    shards = np.array([shard.recordings for shard in split.shards], dtype=np.int64)
    return {"shards": shards, "window": config.window}


def with_decoded(split: Split, config: DataConfig, plan: EpochPlan, num_rows: int) -> Split:
    """The split, which keeps decoded recordings where all that are in use at a time have room.

    Args:
        split: of a training, or of a validation, which needs the last one only.
        config: `decoded_mib` is of all processes of a rank that read, each of them recordings of its own.
        plan: of an epoch.
        num_rows: of the batches, that the rank takes.
    """
    if not plan.shuffle:
        return split.keeping_decoded(1)
    room = config.decoded_mib * 2**20
    fits = SAMPLE_BYTES * plan.in_use(num_rows) <= room
    return split.keeping_decoded(room // max(1, config.num_workers) if fits else 0)


def node_agenda(
    split: Split, plan: Callable[[int], EpochPlan], ranks: range, *, parts: int, world_size: int
) -> Agenda:
    """Which shards the ranks of a node need, and when.

    Args:
        split: what is read, some of it from a `NearStorage`.
        plan: epoch -> its order.
        ranks: of the node.
        parts: accumulated batches.
        world_size: ranks of all nodes.
    """
    rows = plan(0).rows(ranks, parts=parts, world_size=world_size).ravel()
    sizes = [shard.bytes if isinstance(shard.storage, NearStorage) else 0 for shard in split.shards]
    return Agenda(plan, rows, np.array(sizes, dtype=np.int64))


def near_limit(config: DataConfig, agenda: Agenda, near: Sequence[NearFolder] = ()) -> int:
    """Bytes of shards that a node keeps near: `data.cache_gib`, or as much as the order needs.

    Args:
        config: which asks for a cache.
        agenda: of the node.
        near: where copies of each set are to lie; none where that is not known here, as of the nodes of a cluster.

    Raises:
        UserError: the limit or the disk is too small for them to be there in time.
    """
    need = agenda.need(0)
    limit = need if config.cache_gib is None else int(config.cache_gib * GIB)
    if config.window is None:
        why = "as without data.window any of them may be the next"
        remedy = "set data.window=4, which makes another run,"
    else:
        why = f"as the order of data.window={config.window} has them in use or on their way at a time"
        remedy = "lower data.window, which makes another run, take more nodes,"
    expected = f"expected {need / GIB:.3g} GiB for the shards of a node, {why}; {remedy}"
    if limit < need:
        raise UserError(f"data.cache_gib is {config.cache_gib:g}, {expected} or raise it")
    if near and (room := room_of(near)) < limit:
        folder = near[0].path.parent
        raise UserError(
            f"data.cache is {config.cache}, and {folder} has room for {room / GIB:.3g} GiB, {expected} or make room"
            if limit == need
            else f"data.cache_gib is {config.cache_gib:g}, and {folder} has room for {room / GIB:.3g} GiB, expected "
            "as much; lower it, or make room"
        )
    return limit
