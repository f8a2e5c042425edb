"""A training that begins with weights made elsewhere: what is taken, by name, and what is new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from wavenet_pl.conditioning import FramesLayer, TableLayer
from wavenet_pl.errors import UserError
from wavenet_pl.model import Model
from wavenet_pl.runs.delta import model_hash
from wavenet_pl.shards.labels import Labels


@dataclass(frozen=True)
class Beginning:
    """What a model began with."""

    path: str
    """Of the base, as it was given."""
    hash: str
    """Of the base; see `model_hash`."""
    taken: int
    """Weights that are the base's."""
    new: tuple[str, ...]
    """What the base does not have."""
    left: tuple[str, ...]
    """What the model does not have."""

    def __str__(self) -> str:
        parts = [f"{self.path} ({self.hash[:12]}), {self.taken:,} weights taken"]
        parts += [f"new: {', '.join(self.new)}"] if self.new else []
        parts += [f"left out: {', '.join(self.left)}"] if self.left else []
        return "; ".join(parts)


@torch.no_grad()
def begin_with(model: Model, base: Model, path: str) -> Beginning:
    """Give a new model the weights of a base, in place.

    Network, head and codec have to be the same. Rows of a table are found by their names, and a new one begins as the
    mean of all that are there. An input that the base does not have has no effect until it has learned something.

    Args:
        model: new.
        base: trained.
        path: what the base is called in messages.

    Raises:
        UserError: they do not fit; names each setting, and both values.
    """
    if misfits := list(_misfits(model, base)):
        raise UserError(
            f"train.init_from={path} does not fit: {'; '.join(misfits)}; expected the same, so take the base's "
            "settings, or another base"
        )
    both = [name for name in model.labels.frames if name in base.labels.frames]
    Labels(frames=model.labels.of(both).frames).check_same(
        Labels(frames=base.labels.of(both).frames), "the data", path
    )
    old, new, taken = base.state_dict(), [], 0
    tables = {
        f"conditioner.inputs.{name}.table.weight": layer.name
        for name, layer in ({} if model.conditioner is None else model.conditioner.inputs).items()
        if isinstance(layer, TableLayer)
    }
    for name, weight in model.state_dict().items():
        if name in tables and name in old:
            table = tables[name]
            fresh = _fill_rows(weight, model.labels.tables[table], old[name], base.labels.tables[table])
            new += [f"{table} {each}" for each in fresh]
            taken += weight.numel() - len(fresh) * weight.shape[1]
        elif name in old:
            weight.copy_(old[name])
            taken += weight.numel()
        elif name.startswith("network."):
            weight.zero_()  # where the condition enters: a base without one knows nothing of it
    if base.conditioner is not None and model.conditioner is not None:
        for layer in model.conditioner.inputs.values():
            assert isinstance(layer, TableLayer | FramesLayer)
            if layer.name not in base.input_names:
                layer.silence()
    new += [f"input {each}" for each in model.input_names if each not in base.input_names]
    left = [f"input {each}" for each in base.input_names if each not in model.input_names]
    return Beginning(path, model_hash(base), taken, tuple(new), tuple(left))


def _fill_rows(
    weight_KH: Tensor, names: Sequence[str], old_KH: Tensor, old_names: Sequence[str]
) -> list[str]:
    """Rows by name, and the mean for those that have none; returns these."""
    rows = {name: row for row, name in enumerate(old_names)}
    mean_H = old_KH.mean(0)
    for row, name in enumerate(names):
        weight_KH[row] = old_KH[rows[name]] if name in rows else mean_H
    return [name for name in names if name not in rows]


def _misfits(model: Model, base: Model) -> Iterator[str]:
    if model.sample_rate != base.sample_rate:
        yield f"the data have sample rate {model.sample_rate}, the base has {base.sample_rate}"
    sections = ["network", "head", "codec"] + (["condition"] if model.inputs and base.inputs else [])
    for section in sections:
        mine, others = (asdict(getattr(each.config.model, section)) for each in (model, base))
        for name in sorted(mine.keys() - {"inputs", "dropout"}):
            if mine[name] != others[name]:
                yield f"model.{section}.{name} is {mine[name]}, the base has {others[name]}"
