"""From Python, as in a notebook: prepare, train with a callback of one's own, evaluate, plot, generate.

    python examples/train_from_python.py [FOLDER]

Everything lands in FOLDER (default: example); about 20 seconds on two CPU cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightning.pytorch as L
import matplotlib.pyplot as plt
import soundfile
from lightning.pytorch.loggers import CSVLogger

import wavenet_pl
from data_prep.options import Options, RuleOptions, SineOptions
from data_prep.preparation import Request, prepare
from wavenet_pl.audio.pictures import save_spectrograms

SAMPLE_RATE = 8000


class KeepLosses(L.Callback):
    """A callback of one's own: remembers the loss of every step. It acts before that step can be saved."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        """A batch is a step here."""
        self.losses.append(float(trainer.callback_metrics["train/loss"]))


def main(folder: Path) -> None:
    """All of it."""
    prepare(
        Request(
            options=Options(
                corpus="two_sines",
                rules=RuleOptions(sample_rate=SAMPLE_RATE),
                sines=SineOptions(recordings=60, seconds=1.0),
            ),
            folder=folder / "data",
        )
    )

    keep = KeepLosses()
    run = wavenet_pl.train(
        [
            "name=two-sines",
            f"data.path={folder / 'data'}",
            "data.crop_samples=1500",
            "data.batch_size=4",
            "model.network.stacks=1",
            "model.network.layers_per_stack=8",
            "model.network.residual_channels=16",
            "model.network.gate_channels=32",
            "model.network.skip_channels=32",
            "optim.lr=6e-3",
            "optim.warmup_steps=20",
            "samples.every_n_steps=0",
            "wandb.mode=disabled",
            "trainer.max_steps=60",
            "trainer.val_check_interval=30",
            "trainer.check_val_every_n_epoch=null",
        ],
        callbacks=[keep],
        loggers=[CSVLogger(folder / "csv")],
        runs=folder / "runs",
        fresh=True,
    )

    model = wavenet_pl.load(run)
    results = wavenet_pl.evaluate(model, max_seconds=2, predictions=0, count=1, seconds=0.5)
    bits = results.overall.bits.mean
    assert results.baselines is not None
    print(f"{bits:.3f} bits per sample; a unigram needs {results.baselines.unigram:.3f}")

    [clip] = model.generate(seconds=1.0, seed=1)
    soundfile.write(folder / "clip.wav", clip, SAMPLE_RATE)
    save_spectrograms(folder / "clip.png", [("generated", clip)], SAMPLE_RATE)

    figure, axes = plt.subplots()
    axes.plot(keep.losses)
    axes.set(xlabel="step", ylabel="nats per sample", title="training loss")
    figure.savefig(folder / "losses.png")
    print(f"look at {folder / 'losses.png'} and {folder / 'clip.png'}, listen to {folder / 'clip.wav'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example"))
