"""The recipes that `benchmarks/recipe.py` compares, and the networks that it trains with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wavenet_pl.model import Model


@dataclass(frozen=True)
class Recipe:
    """What differs from the ones before: settings of a config, and what no setting says."""

    settings: str = ""
    change: Callable[[Model], None] | None = None
    steps: float = 1.0
    """How many, for each step of the others: a batch of another size is given as many predictions."""


@dataclass(frozen=True)
class Size:
    """What all rows of one size have alike."""

    settings: str
    steps: int
    marks: tuple[float, ...]
    """Shares of the steps after which all of them are validated."""


SMALL = (
    "model.network.stacks=2 model.network.layers_per_stack=8 model.network.residual_channels=32 "
    "model.network.gate_channels=64 model.network.skip_channels=64"
)
"""The network of the `small` config."""
SIZES = {
    "demo": Size(f"{SMALL} data.batch_size=8 data.crop_samples=4000", 600, (0.25, 0.5, 1)),
    "quarter": Size(f"{SMALL} data.batch_size=5 data.crop_samples=2000", 600, (0.25, 0.5, 1)),
    "small": Size(f"{SMALL} data.batch_size=10 data.crop_samples=4000", 600, (0.25, 0.5, 1)),
    "wide": Size(
        "model.network.stacks=2 model.network.layers_per_stack=8 model.network.residual_channels=128 "
        "model.network.gate_channels=256 model.network.skip_channels=256 data.batch_size=5 data.crop_samples=2000",
        600, (0.25, 0.5, 1),
    ),
    "medium": Size(
        "model.network.stacks=3 model.network.layers_per_stack=10 model.network.residual_channels=64 "
        "model.network.gate_channels=128 model.network.skip_channels=128 data.batch_size=10 data.crop_samples=4000",
        3000, (0.1, 0.2, 0.3333, 0.6667, 1),
    ),
}  # fmt: skip


@torch.no_grad()
def random_embedding(model: Model) -> None:
    """Embeddings that begin as noise."""
    assert model.network.embedding is not None
    nn.init.normal_(model.network.embedding.weight)


@torch.no_grad()
def zero_residuals(model: Model) -> None:
    """Layers that begin as if they were not there, but for their skips."""
    for layer in model.network.layers:
        if layer.residual is not None:
            nn.init.zeros_(layer.residual.weight)  # type: ignore[arg-type, union-attr]


class _WithAmplitude(nn.Module):
    """Adds to the embedding of a code its amplitude times a vector that is learned."""

    def __init__(self, amplitudes_Q1: Tensor, channels: int) -> None:
        super().__init__()
        self.amplitudes = nn.Buffer(amplitudes_Q1 / amplitudes_Q1.std())
        self.vector = nn.Parameter(torch.randn(channels))

    def forward(self, weight_QR: Tensor) -> Tensor:
        return weight_QR + self.amplitudes * self.vector


def amplitude_as_well(model: Model) -> None:
    """A scalar input beside the embedding."""
    assert model.network.embedding is not None
    amplitudes_Q1 = model.codec.decode(torch.arange(model.network.quantization_channels))[:, None]
    added = _WithAmplitude(amplitudes_Q1, model.network.embedding.weight.shape[1])
    parametrize.register_parametrization(model.network.embedding, "weight", added)


def _adamw(rate: str, more: str = "") -> str:
    return f"optim.kind=adamw optim.lr={rate} {more}"


def _muon(rate: str = "16e-3", more: str = "") -> str:
    return f"optim.kind=muon optim.lr={rate} {more}"


SIXTEEN_BITS = "model.head.kind=logistics model.codec.kind=linear model.codec.quantization_channels=65536"
RECIPES = {
    "adamw 4e-3, random": Recipe(_adamw("4e-3"), random_embedding),
    "adamw 8e-3, random": Recipe(_adamw("8e-3"), random_embedding),
    "adamw 16e-3, random": Recipe(_adamw("16e-3"), random_embedding),
    "adamw 4e-3": Recipe(_adamw("4e-3")),
    "adamw 8e-3": Recipe(_adamw("8e-3")),
    "adamw 16e-3": Recipe(_adamw("16e-3")),
    "muon 2e-3": Recipe(_muon("2e-3")),
    "muon 4e-3": Recipe(_muon("4e-3")),
    "muon 8e-3": Recipe(_muon("8e-3")),
    "muon 16e-3": Recipe(_muon("16e-3")),
    "muon 32e-3": Recipe(_muon("32e-3")),
    "muon 16e-3, random": Recipe(_muon(), random_embedding),
    "zero residuals": Recipe(_muon(), zero_residuals),
    "amplitude as well": Recipe(_muon(), amplitude_as_well),
    "kernel 3, 7 layers": Recipe(_muon(more="model.network.kernel_size=3 model.network.layers_per_stack=7")),
    "cosine to 0": Recipe(_muon(more="optim.final_lr_fraction=0")),
    "warm-up of 10": Recipe(_muon(more="optim.warmup_steps=10")),
    "warm-up of 200": Recipe(_muon(more="optim.warmup_steps=200")),
    "weight decay 0.1": Recipe(_muon(more="optim.weight_decay=0.1")),
    "weight decay 0.3": Recipe(_muon(more="optim.weight_decay=0.3")),
    "weight decay 1": Recipe(_muon(more="optim.weight_decay=1")),
    "half the batch, 8e-3": Recipe(_muon("8e-3", "data.crop_samples=1000"), steps=2),
    "half the batch, 16e-3": Recipe(_muon("16e-3", "data.crop_samples=1000"), steps=2),
    "double batch, 16e-3": Recipe(_muon("16e-3", "data.batch_size=10"), steps=0.5),
    "double batch, 32e-3": Recipe(_muon("32e-3", "data.batch_size=10"), steps=0.5),
    "16 bits, 4e-3": Recipe(_muon("4e-3", SIXTEEN_BITS)),
    "16 bits, 8e-3": Recipe(_muon("8e-3", SIXTEEN_BITS)),
    "16 bits, 16e-3": Recipe(_muon("16e-3", SIXTEEN_BITS)),
}
"""Those of the table, in its order; all end at a twentieth of their rate unless they say otherwise."""
CHOSEN = "weight decay 0.1"
"""What the configs `demo` and `small` train with; networks of others are given it, too."""
