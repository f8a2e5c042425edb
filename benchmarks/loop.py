"""A training loop without Lightning, on our batches, for networks of others as for ours; it goes on where it was."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wavenet_pl.config.tree import Config
from wavenet_pl.data.datamodule import AudioDataModule, CropLoader
from wavenet_pl.model import Model
from wavenet_pl.training.optimizer import build_optimizer

CLIP = 1.0
"""Norm of the gradients that `trainer.gradient_clip_val` of the configs allows."""
_SAVE_EVERY, _SAY_EVERY = 100, 50


@dataclass
class Training:
    """A network, how it is trained, and what its outputs cost."""

    network: nn.Module
    outputs: Callable[[dict[str, Any]], tuple[Tensor, Tensor, Tensor]]
    """Batch -> outputs (B, K, U), the codes (B, U) that they predict, and which of them count."""
    optimizer: torch.optim.Optimizer
    lr_factor: Callable[[int], float]
    clip: float | None

    def nats(self, model: Model, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Sum over the predictions that count, and how many these are."""
        outputs, codes, counts = self.outputs(batch)
        return model.head.nats(outputs, codes).where(counts, 0.0).sum(), counts.sum()

    def step(self, loss: Tensor) -> None:
        """One optimizer step."""
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()


def of_ours(model: Model, config: Config) -> Training:
    """Ours, by the config."""
    return Training(
        model, lambda batch: tuple(model.predict(batch)), build_optimizer(model, config.optim), config.lr_factor,
        CLIP,
    )  # fmt: skip


@dataclass
class Going:
    """A training on its way."""

    training: Training
    model: Model
    """Ours, of the config: it makes codes of audio, and a loss of outputs."""
    data: AudioDataModule
    precision: str
    step: int = 0
    trained: float = 0.0
    """Seconds of the processor."""
    record: dict[str, Any] = field(default_factory=dict)
    """What is kept with it."""

    def autocast(self) -> torch.autocast:
        """A context with its precision."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16")

    @torch.no_grad()
    def validated(self, batches: int | None = None) -> float:
        """Bits per sample of the validation split, or of so many batches of it."""
        self.training.network.eval()
        nats, count = 0.0, 0
        with self.autocast():
            for batch in islice(self.data.val_dataloader(), batches):
                more, counted = self.training.nats(self.model, batch)
                nats, count = nats + float(more), count + int(counted)
        self.training.network.train()
        return nats / count / math.log(2)


def train(
    who: str,
    build: Callable[[Model, Config], Training],
    config: Config,
    precision: str,
    kept: Path,
    share: Callable[[Going], float],
) -> Iterator[Going]:
    """Trains, and yields after each step; what is measured then goes into the record.

    Args:
        who: its name, for the progress.
        build: makes what is trained.
        config: of data, model and rates.
        precision: bfloat16, or float32.
        kept: a file from which it goes on when it was interrupted; gone at the end.
        share: how much of it is done; from 1 on it ends.
    """
    data = AudioDataModule.from_config(config)
    torch.manual_seed(config.seed)
    model = Model(config, sample_rate=data.sample_rate, labels=data.labels)
    training, loader = build(model, config), data.train_dataloader()
    rates = [group["lr"] for group in training.optimizer.param_groups]
    going = Going(training, model, data, precision)
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        training.network.load_state_dict(state["network"])
        training.optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])
        going.step, going.trained, going.record = state["step"], state["trained"], state["record"]
    for batch in _endless(loader):
        began = time.process_time()
        for group, rate in zip(training.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * training.lr_factor(going.step)
        with going.autocast():
            nats = training.nats(model, batch)[0] / max(batch["predictions"], 1)
        training.step(nats)
        going.step, going.trained = going.step + 1, going.trained + time.process_time() - began
        yield going
        done = share(going)
        if done >= 1:
            break
        if going.step % _SAY_EVERY == 0:
            left = going.trained * (1 / done - 1) / 60
            bits = float(nats.detach()) / math.log(2)
            print(
                f"{who}: step {going.step}, {done:.0%}, {bits:.3f} bits, {left:.1f} min of processor left",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        if going.step % _SAVE_EVERY == 0:
            state = {
                "network": training.network.state_dict(), "optimizer": training.optimizer.state_dict(),
                "loader": loader.state_dict(), "step": going.step, "trained": going.trained, "record": going.record,
            }  # fmt: skip
            torch.save(state, kept.with_suffix(".new"))
            kept.with_suffix(".new").replace(kept)
    kept.unlink(missing_ok=True)


def _endless(loader: CropLoader) -> Iterator[dict[str, Any]]:
    """Batches of one epoch after another."""
    while True:
        yield from loader
