"""The LightningModule: trains and validates a model, whatever it is conditioned on; one class for each kind of model.

Shapes: B batch, T time.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from wavenet_pl.config.tree import Config, to_plain
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.costs import costs_of
from wavenet_pl.files.redaction import redact
from wavenet_pl.model import Model
from wavenet_pl.numbers import counter
from wavenet_pl.numbers.intervals import Interval
from wavenet_pl.runs.checkpoints import CHECKPOINT_KEY
from wavenet_pl.shards.labels import Labels
from wavenet_pl.training.optimizer import build_optimizer
from wavenet_pl.training.scores import Scores, Sums


class WaveNetModule(L.LightningModule):
    """Trains a `Model` on crops: the steps, the optimizer, what is logged. All kinds of models are trained by it.

    Names in its state dict are the model's own, so that a checkpoint does not say who trained it.

    Args:
        model: what is trained.
    """

    kind: ClassVar[str]
    """What the configuration calls the kind of model."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        self.register_load_state_dict_pre_hook(_name_as_of_a_trainer)
        self._sums = Sums()
        self._planned = 1  # predictions of the global batch that is under way
        self._scores: Scores | None = None
        self.gaps: dict[str, Interval] = {}
        """Input -> bits per sample that a wrong value of it cost more in the newest validation."""
        self.step_metrics: dict[str, float] = {}
        """Numbers of the newest optimizer step."""
        self.step_skipped = False
        """Whether the newest optimizer step changed nothing, because its numbers were not finite."""
        self.bad_slots = 0
        """Slots of the newest optimizer step, over all ranks, whose recording could not be read."""

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """The model's, under the model's own names."""
        state: dict[str, Any] = self.model.state_dict(*args, **options)
        return state

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Nats per prediction of the whole global batch, in this rank's and this accumulation's share.

        The shares are summed and not averaged, so that ranks with fewer predictions weigh less. Lightning divides by
        the accumulated batches and DDP by the ranks, which is undone here.
        """
        # What a step draws, as dropout does, follows from where it is: no generator's state has to be kept.
        position = self.trainer.global_step, batch_idx, self.trainer.global_rank
        torch.manual_seed(counter.stream_key("step", self.config.seed, *position))
        nats, count = self.model.nats(batch)
        self._sums.add(nats, count, len(batch["bad"]))
        ways = self.trainer.world_size * self.trainer.accumulate_grad_batches
        self._planned = max(batch["predictions"], 1)
        return nats * (ways / self._planned)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Mends the gradients where damaged recordings made the batch smaller than planned; logs the step.

        Gradients that are not finite are dropped, so that neither weights nor averages change. All ranks see the same
        sums and the same gradients, and do the same.
        """
        nats, count, self.bad_slots = self._sums.reduce(self.trainer)
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        if 0 < count != self._planned:
            torch._foreach_mul_(gradients, self._planned / count)
        loss = nats / count if count else math.nan
        norm = nn.utils.get_total_norm(gradients).item()
        self.step_metrics = {
            "train/loss": loss,
            "train/bits": loss / math.log(2),
            "optim/lr": optimizer.param_groups[0]["lr"],
            "optim/grad_norm": norm,
        }
        finite = math.isfinite(nats) and math.isfinite(norm)
        # With 16-mixed, gradients that overflow are how the loss scale is adjusted, and no mistake.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        overflow = math.isfinite(nats) and scaler is not None and scaler.get_scale() > 1
        self.step_skipped = not finite and not overflow
        if not finite or count == 0:
            optimizer.zero_grad(set_to_none=True)
        for name in ("train/loss", "train/bits"):  # for callbacks; `StepMetrics` writes the row
            self.log(name, self.step_metrics[name], logger=False)

    def on_validation_epoch_start(self) -> None:
        """Drops what a validation that was cut short may have left."""
        self._scores = None

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Adds up; every sample of every recording counts once, under the right condition and under wrong ones."""
        if self._scores is None:
            self._scores = Scores(batch["num_recordings"], self.model.input_names, self.device)
        self._scores.add(batch["recording"], costs_of(self.model, batch))

    def on_validation_epoch_end(self) -> None:
        """Logs bits per sample over all ranks, and what a wrong condition costs."""
        assert self._scores is not None
        summary, self._scores = self._scores.reduce(self.trainer), None
        self.log_dict(
            {self.model.comparable_key: summary.comparable_bits, "val/bits": summary.bits}, prog_bar=True
        )
        self.gaps = {name: summary.gap(name) for name in self.model.input_names}
        for name, gap in self.gaps.items():
            if math.isfinite(gap.mean):
                self.log(f"val/bits_shuffled/{name}", summary.bits + gap.mean)
                self.log(f"val/gap/{name}", gap.mean)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer and the learning rate of the config, step by step."""
        optimizer = build_optimizer(self.model, self.config.optim)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.config.lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what `wavenet_pl.load` builds the model from."""
        checkpoint.setdefault(CHECKPOINT_KEY, {}).update(
            config=redact(to_plain(self.config)),
            sample_rate=self.model.sample_rate,
            index_fingerprint=self.model.index_fingerprint,
            labels=self.model.labels.to_plain(),
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses weights that were trained with other names or other frames, or by another optimizer.

        Raises:
            UserError: names both sides.
        """
        try:
            labels = Labels.read(checkpoint[CHECKPOINT_KEY]["labels"])
            before = checkpoint[CHECKPOINT_KEY]["config"]["optim"].get("kind", "adamw")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"the checkpoint does not record what it was trained on ({error}); use another one"
            ) from None
        self.model.labels.check_same(labels, "the data", "the checkpoint")
        now = self.config.optim.kind
        if "optimizer_states" in checkpoint and before != now:
            raise UserError(
                f"the checkpoint was trained with optim.kind {before!r:.40}, expected {now!r}, as the config says; "
                "what an optimizer remembers is of no use to another: set the same optim.kind, or train with --fresh"
            )


class UnconditionalWaveNet(WaveNetModule):
    """Audio, given nothing but its past."""

    kind = "unconditional"


class SpeakerWaveNet(WaveNetModule):
    """A voice that is named (WaveNet, section 3.1), or whose mel frames are given, which makes it a vocoder."""

    kind = "speaker"


class MusicWaveNet(WaveNetModule):
    """Music with these tags (WaveNet, section 3.3), of these notes (MAESTRO, Hawthorne et al., 2019), or both."""

    kind = "music"


MODULES: dict[str, type[WaveNetModule]] = {
    module.kind: module for module in (UnconditionalWaveNet, SpeakerWaveNet, MusicWaveNet)
}
"""model.kind -> its module."""


def build_module(
    config: Config, *, sample_rate: int, index_fingerprint: str = "", labels: Labels | None = None
) -> WaveNetModule:
    """The module that the config asks for, with a new model; arguments as `Model`."""
    model = Model(config, sample_rate=sample_rate, index_fingerprint=index_fingerprint, labels=labels)
    return module_of(model)


def module_of(model: Model) -> WaveNetModule:
    """The module that trains a model of this kind."""
    return MODULES[model.config.model.kind](model)


def checkpoint_of(model: Model, step: int) -> dict[str, Any]:
    """A checkpoint of a model that is not being trained: what `wavenet_pl.load` needs, and nothing to go on from."""
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict(), "global_step": step}
    module_of(model).on_save_checkpoint(checkpoint)
    return checkpoint


def _name_as_of_a_trainer(module: nn.Module, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
    """The model's own names, as `WaveNetModule.state_dict` gives them, become those of the model inside of a module."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[f"{prefix}model.{name.removeprefix(prefix)}"] = state_dict.pop(name)
