"""A script: trains some steps on any number of ranks and saves the first rank's last gradients and its slots.

python -m tests.gradients DATA OUT DEVICES PRECISION STEPS [key=value ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightning.pytorch as L
import torch

from tests.small import small_config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.training.module import build_module


class Recorder(L.Callback):
    """Keeps the gradients that the optimizer is given, and which recordings and windows this rank read."""

    def __init__(self, out: Path) -> None:
        self.out, self.seen = out, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        counts = batch["counted"].sum(1).tolist()
        rows = zip(batch["recording"].tolist(), batch["begin"].tolist(), counts, strict=True)
        self.seen.append(
            [(*row, batch["audio"][i].double().sum().item()) for i, row in enumerate(rows) if row[0] >= 0]
        )

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if "train/loss" not in trainer.callback_metrics:
            return  # in the middle of the first accumulation
        # after the step, when the module has mended the gradients; AdamW does not change them
        gradients = {name: parameter.grad.clone() for name, parameter in pl_module.named_parameters()}
        torch.save(
            {
                "gradients": gradients,
                "seen": self.seen,
                "loss": trainer.callback_metrics["train/loss"].item(),
            },
            self.out.with_suffix(f".{trainer.global_rank}"),
        )


def main() -> None:
    data, out, devices, precision, steps, *settings = sys.argv[1:]
    torch.set_num_threads(1)
    config = small_config(data, *settings)
    L.seed_everything(0, verbose=False)
    module = build_module(config, sample_rate=8_000)
    trainer = L.Trainer(
        accelerator="cpu", devices=int(devices), strategy="ddp" if int(devices) > 1 else "auto", precision=precision,
        max_steps=int(steps), logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Recorder(Path(out))], use_distributed_sampler=False,
        limit_val_batches=0, log_every_n_steps=1,
        accumulate_grad_batches=int(config.trainer.get("accumulate_grad_batches", 1)),
    )  # fmt: skip
    seed = config.seed
    trainer.fit(
        module, AudioDataModule(config.data, receptive_field=config.model.network.receptive_field, seed=seed)
    )


if __name__ == "__main__":
    main()
