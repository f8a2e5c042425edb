"""Conditioners: what a batch says beside its audio becomes the one condition that the network knows.

Shapes: B batch, H condition, K tags, N frames, F features of a frame, T columns: one for each output of the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet_pl.audio.features import FeatureSpec
from wavenet_pl.config.model import ConditionConfig
from wavenet_pl.shards.labels import Labels

Batch = Mapping[str, Any]


class Input(nn.Module, ABC):
    """One thing that a model is told, as a condition (B, H, T), or (B, H, 1) where it is global."""

    name: str

    @abstractmethod
    def forward(self, batch: Batch, num_columns: int) -> Tensor:
        """The condition of T = num_columns columns."""

    @abstractmethod
    def describe(self, batch: Batch, row: int) -> str:
        """What a row of the batch is told, in a few words for a caption."""


class Speaker(Input):
    """A row of its own for each speaker (WaveNet, section 3.1)."""

    name = "speaker"

    def __init__(self, config: ConditionConfig, speakers: tuple[str, ...]) -> None:
        super().__init__()
        self.speakers = speakers
        self.table = nn.Embedding(len(speakers), config.channels)

    def forward(self, batch: Batch, num_columns: int) -> Tensor:
        """(B, H, 1). What has no speaker, as padding, gets the first: it does not count."""
        return self.table(batch["speaker"].clamp(min=0))[:, :, None]

    def describe(self, batch: Batch, row: int) -> str:
        """The speaker's name."""
        return f"speaker {self.speakers[int(batch['speaker'][row])]}"


class Tags(Input):
    """The sum of a row for each tag that applies (WaveNet, section 3.3)."""

    name = "tags"

    def __init__(self, config: ConditionConfig, tags: tuple[str, ...]) -> None:
        super().__init__()
        self.tags = tags
        self.table = nn.Embedding(len(tags), config.channels)

    def forward(self, batch: Batch, num_columns: int) -> Tensor:
        """(B, H, 1)."""
        tags_BK: Tensor = batch["tags"].to(self.table.weight.dtype)
        return (tags_BK @ self.table.weight)[:, :, None]

    def describe(self, batch: Batch, row: int) -> str:
        """Their names."""
        named = [self.tags[place] for place in batch["tags"][row].nonzero()[:, 0].tolist()]
        return f"tags {', '.join(named) or 'none'}"


class Frames(Input):
    """Notes or mel frames: convolutions over frames, then from frames to samples.

    It sees `ConditionConfig.frame_context` frames before and after that of a sample, and those come with the batch.
    """

    def __init__(self, config: ConditionConfig, spec: FeatureSpec) -> None:
        super().__init__()
        self.name, self.spec = spec.name, spec
        self.first = nn.Conv1d(spec.num_features, config.channels, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(config.channels, config.channels, 3, dilation=2**number)
            for number in range(config.frame_layers)
        )
        self.upsampling = (
            Transposed(config.channels, spec.hop_length) if config.upsampling == "transposed" else None
        )

    def forward(self, batch: Batch, num_columns: int) -> Tensor:
        """(B, H, T)."""
        frames_BNF, phase_B = batch[self.name], batch[f"{self.name}_phase"]
        x_BHN = self.first(frames_BNF.transpose(1, 2).to(self.first.weight.dtype))
        for number, layer in enumerate(self.layers):
            dilation = 2**number
            # What is padded with nothing is no frame: the residual loses as much at both ends.
            x_BHN = x_BHN[:, :, dilation:-dilation] + F.relu(layer(F.relu(x_BHN)))
        column_BT = phase_B[:, None] + torch.arange(num_columns, device=phase_B.device)
        if self.upsampling is None:
            index_BT = column_BT // self.spec.hop_length
        else:
            x_BHN, index_BT = self.upsampling(x_BHN), column_BT
        return x_BHN.gather(2, index_BT[:, None].expand(-1, x_BHN.shape[1], -1))

    def describe(self, batch: Batch, row: int) -> str:
        """That there are such, and of what recording."""
        keys = batch.get("keys")
        return f"{self.name} of {keys[row]}" if keys else self.name


class Transposed(nn.Module):
    """A transposed convolution for each channel, which begins as a straight line from frame to frame.

    A sample depends on its own frame and the two beside it, so one frame is lost at both ends.
    """

    def __init__(self, channels: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        # One window of three hops for each channel: less than a hop before a frame, the frame, and less than one after.
        distance = (torch.arange(3 * hop_length) + 0.5) / hop_length - 1.5
        self.weight = nn.Parameter((1 - distance.abs()).clamp(min=0).repeat(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, frames_BHN: Tensor) -> Tensor:
        """(B, H, (N - 2) * hop_length)."""
        x_BHT = F.conv_transpose1d(
            frames_BHN, self.weight, self.bias, stride=self.hop_length, groups=len(self.bias)
        )
        return x_BHT[:, :, 2 * self.hop_length : -2 * self.hop_length]


class Conditioner(nn.Module):
    """The sum of all inputs: a global one counts for every column."""

    def __init__(self, inputs: list[Input]) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({each.name: each for each in inputs})

    @property
    def names(self) -> list[str]:
        """What the model is told."""
        return list(self.inputs)

    def forward(self, batch: Batch, num_columns: int) -> Tensor:
        """The condition (B, H, T), or (B, H, 1) where all inputs are global.

        Args:
            batch: with the fields of `data.conditions.Conditions`.
            num_columns: T. Column 0 describes the first sample that is predicted.
        """
        condition, *others = (each(batch, num_columns) for each in self.inputs.values())
        for other in others:
            condition = condition + other
        return condition

    def describe(self, batch: Batch, row: int) -> str:
        """What a row is told, in a few words."""
        return "; ".join(each.describe(batch, row) for each in self.inputs.values())  # type: ignore[operator]


def build_conditioner(inputs: tuple[str, ...], config: ConditionConfig, labels: Labels) -> Conditioner:
    """A conditioner for what a model is told.

    Raises:
        ValueError: the labels lack an input: there is no speaker, no tag, or no such feature.
    """
    built: list[Input] = []
    for name in inputs:
        if name == "speaker" and labels.speakers:
            built.append(Speaker(config, labels.speakers))
        elif name == "tags" and labels.tags:
            built.append(Tags(config, labels.tags))
        elif name in labels.features:
            built.append(Frames(config, labels.features[name]))
        else:
            raise ValueError(f"it has no {name}")
    return Conditioner(built)
