"""When held-out bits no longer fall, the training ends, and stays ended."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wavenet_pl.adaptation.stop import HeldOutStop


class Scripted(L.LightningModule):
    """Its validations, one after each step, say what is written here."""

    def __init__(self, bits: list[float]) -> None:
        super().__init__()
        self.bits, self.weight = bits, nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.weight * batch).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/bits", self.bits[self.global_step - 1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(bits: list[float], stop: HeldOutStop, folder: Path, resume: Path | None = None) -> L.Trainer:
    trainer = L.Trainer(
        max_steps=len(bits), max_epochs=-1, val_check_interval=1, check_val_every_n_epoch=None, accelerator="cpu",
        callbacks=[stop], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    loaders = DataLoader(torch.ones(4, 1), batch_size=2), DataLoader(torch.ones(2, 1), batch_size=2)
    trainer.fit(Scripted(bits), *loaders, ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / "end.ckpt")
    return trainer


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*Checkpoint directory")
@pytest.mark.parametrize(
    ("bits", "last", "why"),
    [
        ([5.0, 4.0, 4.001, 4.002, 4.001, 3.0, 3.0], 5, "did not improve in the last 3 records"),
        ([5.0, 4.0, 4.03, 3.9, 3.8], 3, "4.0300 bits, more than 0.5 % above 4.0000"),
        ([5.0, 4.5, 4.0, 3.9, 3.8], 5, None),
        ([5.0, 4.0, 4.01, 3.99, 4.0, 3.98, 3.97], 7, None),
    ],
)
def test_it_ends_after_so_many_validations_or_where_bits_rise(
    tmp_path: Path, bits: list[float], last: int, why: str | None
) -> None:
    stop = HeldOutStop(patience=3, rise=0.005)
    trainer = fit(bits, stop, tmp_path)
    assert trainer.global_step == last
    assert stop.stopped == (why is not None)
    assert (
        (stop.stopping_reason_message is None) if why is None else (why in str(stop.stopping_reason_message))
    )
    assert bits[last - 1] <= 1.01 * min(bits[:last]), "the minimum is not passed by a hundredth"


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*Checkpoint directory")
def test_what_had_stopped_makes_no_further_step(tmp_path: Path) -> None:
    bits = [5.0, 4.0, 4.03, 3.9, 3.8]
    fit(bits, HeldOutStop(patience=3, rise=0.005), tmp_path)
    again = HeldOutStop(patience=3, rise=0.005)
    trainer = fit(bits, again, tmp_path, tmp_path / "end.ckpt")
    assert trainer.global_step == 3
    assert again.stopped and "above 4.0000" in str(again.stopping_reason_message)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*Checkpoint directory")
def test_the_time_between_two_starts_does_not_count(tmp_path: Path) -> None:
    class Clock:
        """A step and a validation take a second."""

        def __init__(self, now: float) -> None:
            self.now = now

        def __call__(self) -> float:
            self.now += 1.0
            return self.now

    first = HeldOutStop(patience=3, rise=0.005, clock=Clock(1_000.0))
    fit([5.0, 4.5], first, tmp_path)
    assert first.seconds == 2
    again = HeldOutStop(patience=3, rise=0.005, clock=Clock(86_400.0))
    fit([5.0, 4.5, 4.0, 3.5, 3.0], again, tmp_path, tmp_path / "end.ckpt")
    assert again.seconds == 2 + 3
