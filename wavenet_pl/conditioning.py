"""Conditioning: what a batch holds beside its audio becomes the one condition that the network reads.

Shapes: B batch, H condition, K rows of a table, N frames, F features of a frame, T columns: one for each output of the
network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet_pl.config.model import ConditionConfig
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Input
from wavenet_pl.inputs.table import Table

Batch = Mapping[str, Any]


class TableLayer(nn.Module):
    """A vector of its own for each row of a table (WaveNet, section 3.1), or the sum of those that apply (3.3)."""

    def __init__(self, config: ConditionConfig, table: Table) -> None:
        super().__init__()
        self.name, self.many = table.name, table.many
        self.table = nn.Embedding(len(table.names), config.channels)

    def forward(self, batch: Batch, num_columns: int) -> Tensor:
        """(B, H, 1). A crop without a row, which only padding is, gets the first row: it does not count."""
        if not self.many:
            return self.table(batch[self.name].clamp(min=0))[:, :, None]
        applies_BK: Tensor = batch[self.name].to(self.table.weight.dtype)
        return (applies_BK @ self.table.weight)[:, :, None]

    @torch.no_grad()
    def silence(self) -> None:
        """Have no effect, until it has learned one."""
        self.table.weight.zero_()


class FramesLayer(nn.Module):
    """Convolutions over frames, then from frames to samples (WaveNet, section 2.5: local conditioning).

    It sees `ConditionConfig.frame_context` frames before and after that of a sample, and those come with the batch.
    """

    def __init__(self, config: ConditionConfig, frames: Frames) -> None:
        super().__init__()
        self.name, self.hop_length = frames.name, frames.hop_length
        self.first = nn.Conv1d(frames.num_features, config.channels, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(config.channels, config.channels, 3, dilation=2**number)
            for number in range(config.frame_layers)
        )
        self.upsampling = (
            Transposed(config.channels, frames.hop_length) if config.upsampling == "transposed" else None
        )

    @torch.no_grad()
    def silence(self) -> None:
        """Have no effect, until it has learned one."""
        for name, weight in self.named_parameters():
            if name.startswith("first.") or name.endswith(".bias"):
                weight.zero_()

    def forward(self, batch: Batch, num_columns: int) -> Tensor:
        """The part of the condition (B, H, T) that these frames make."""
        frames_BNF, phase_B = batch[self.name], batch[f"{self.name}_phase"]
        x_BHN = self.first(frames_BNF.transpose(1, 2).to(self.first.weight.dtype))
        for number, layer in enumerate(self.layers):
            dilation = 2**number
            # What is padded with nothing is no frame: the residual loses as much at both ends.
            x_BHN = x_BHN[:, :, dilation:-dilation] + F.relu(layer(F.relu(x_BHN)))
        column_BT = phase_B[:, None] + torch.arange(num_columns, device=phase_B.device)
        if self.upsampling is None:
            index_BT = column_BT // self.hop_length
        else:
            x_BHN, index_BT = self.upsampling(x_BHN), column_BT
        # Whole rows are copied, time first as the network has it: much faster than a gather along the last axis.
        batch_size, _, num_frames = x_BHN.shape
        first_B1 = num_frames * torch.arange(batch_size, device=index_BT.device)[:, None]
        rows_NH = x_BHN.transpose(1, 2).flatten(0, 1)
        return F.embedding((first_B1 + index_BT).t(), rows_NH).permute(1, 2, 0)


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
    """The sum of all inputs: a global one counts for every column.

    Args:
        inputs: what the model is conditioned on.
        config: how wide it is, and what its layers are.
    """

    def __init__(self, inputs: Sequence[Input], config: ConditionConfig) -> None:
        super().__init__()
        self.model_inputs = tuple(inputs)
        """What the model is conditioned on; the layers of each are in `inputs`, by name, as checkpoints have them."""
        self.inputs = nn.ModuleDict({_layer_name(each.name): build_layer(each, config) for each in inputs})

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
        """What a row is conditioned on, in a few words."""
        return "; ".join(each.describe(batch, row) for each in self.model_inputs)


def build_layer(definition: Input, config: ConditionConfig) -> nn.Module:
    """The layer that makes a condition (B, H, T) or (B, H, 1) of an input's fields."""
    if isinstance(definition, Table):
        return TableLayer(config, definition)
    assert isinstance(definition, Frames), type(definition)
    return FramesLayer(config, definition)


def _layer_name(name: str) -> str:
    """A name for the layer: one that `nn.Module` has itself, such as type, gets an underscore, and type_ one more."""
    return f"{name}_" if hasattr(nn.ModuleDict(), name.rstrip("_")) else name
