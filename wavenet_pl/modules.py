"""The LightningModule: trains and validates, whatever the model is told. How it makes clips is in `ClipMaker`.

Shapes: B batch, T time, K head parameters, H condition.
"""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from wavenet_pl import counter
from wavenet_pl.codec import build_codec, codes_alike, comparable_codec
from wavenet_pl.conditioning import Conditioner
from wavenet_pl.config import Config, ModelConfig, to_plain
from wavenet_pl.errors import UserError
from wavenet_pl.generation.clip_maker import ClipMaker
from wavenet_pl.heads import LogisticsHead, build_head
from wavenet_pl.intervals import Interval
from wavenet_pl.labels import Labels
from wavenet_pl.network import State, WaveNet
from wavenet_pl.redaction import redact
from wavenet_pl.scores import Scores, Sums, sum_of

CHECKPOINT_KEY = "wavenet_pl"
"""Where a checkpoint keeps what is ours: config, sample rate, fingerprint of the index."""


class WaveNetModule(ClipMaker, L.LightningModule):
    """Trains a WaveNet on crops. A model overrides `build_conditioner` and nothing else.

    Args:
        config: the whole config of the run.
        sample_rate: of the audio it is trained on, in Hz.
        index_fingerprint: of the shard set it is trained on.
        labels: what the numbers of speakers, tags and features of that set stand for.

    Raises:
        ValueError: the labels lack what the model is to be told.
    """

    def __init__(
        self, config: Config, *, sample_rate: int, index_fingerprint: str = "", labels: Labels | None = None
    ) -> None:
        super().__init__()
        self.config, self.sample_rate, self.index_fingerprint = config, sample_rate, index_fingerprint
        model = config.model
        self.codec = build_codec(model.codec)
        self.comparable_codec = comparable_codec(self.codec)
        """The codec in whose codes bits are compared with those of simple models."""
        self.comparable_key = "val/bits" if self.comparable_codec == self.codec else "val/bits_mulaw256"
        """What these bits are logged as; other models may have them under val/bits."""
        self.head = build_head(model.head, self.codec)
        self.labels = (labels or Labels()).of(model.inputs)
        """What the numbers of a condition stand for."""
        self.conditioner = self.build_conditioner(model)
        self.network = WaveNet(
            model.network,
            quantization_channels=self.codec.quantization_channels,
            decode=self.codec.decode,
            num_parameters=self.head.num_parameters,
            condition_channels=model.condition_channels,
        )
        self._sums = Sums()
        self._scores: Scores | None = None
        self.gaps: dict[str, Interval] = {}
        """Input -> bits per sample that a wrong value of it cost more in the newest validation."""
        self.step_metrics: dict[str, float] = {}
        """Numbers of the newest optimizer step."""
        self.step_skipped = False
        """Whether the newest optimizer step changed nothing, because its numbers were not finite."""
        self.bad_slots = 0
        """Slots of the newest optimizer step or validation, over all ranks, whose recording could not be read."""

    def build_conditioner(self, config: ModelConfig) -> Conditioner | None:
        """What turns a batch into the condition; None for a model without one."""
        raise NotImplementedError

    def forward(
        self, codes_BT: Tensor, condition: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """As `WaveNet.forward`."""
        outputs_BKT, state = self.network(codes_BT, condition, state)
        return outputs_BKT, state

    def nats(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Sum of nats over the batch's counted predictions, and how many these are."""
        outputs_BKT, codes_BT, counts_BT = self.predict(batch)
        return self.head.nats(outputs_BKT, codes_BT).where(counts_BT, 0.0).sum(), counts_BT.sum()

    def predict(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (B, K, T), the codes (B, T) that they predict, and which of these predictions count (B, T)."""
        codes_BT = self.codec.encode(batch["audio"])
        outputs_BKT, _ = self(codes_BT[:, :-1], self.condition(batch, codes_BT.shape[1] - 1))
        output_T = torch.arange(outputs_BKT.shape[2], device=outputs_BKT.device)
        counts_BT = (batch["first"][:, None] <= output_T) & (output_T < batch["last"][:, None])
        return outputs_BKT, codes_BT[:, 1:], counts_BT

    def wrong_nats(self, batch: dict[str, Any], name: str, codes_BT: Tensor) -> Tensor:
        """Nats (B, T) that the codes cost where the model is told a wrong value of one input."""
        outputs_BKT, _, _ = self.predict({**batch, name: batch[f"other_{name}"]})
        return self.head.nats(outputs_BKT, codes_BT)

    def comparable_nats(self, outputs_BKT: Tensor, codes_BT: Tensor) -> Tensor:
        """Nats (B, T) that the same audio costs in codes of the comparable codec, which merges neighbouring codes."""
        if self.comparable_codec == self.codec:
            return self.head.nats(outputs_BKT, codes_BT)
        assert isinstance(self.head, LogisticsHead)  # no softmax has so many codes
        first_BT, last_BT = codes_alike(self.codec, self.comparable_codec, codes_BT)
        return self.head.nats_between(outputs_BKT, first_BT, last_BT)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Nats per prediction of the whole global batch, in this rank's and this accumulation's share.

        The shares are summed and not averaged, so that ranks with fewer predictions weigh less. Lightning divides by
        the accumulated batches and DDP by the ranks, which is undone here.
        """
        # What a step draws, as dropout does, follows from where it is: no generator's state has to be kept.
        place = self.trainer.global_step, batch_idx, self.trainer.global_rank
        torch.manual_seed(counter.stream_key("step", self.config.seed, *place))
        nats, count = self.nats(batch)
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
        # With 16-mixed, gradients that overflow are how the loss scale is found, and no mistake.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        overflow = math.isfinite(nats) and scaler is not None and scaler.get_scale() > 1
        self.step_skipped = not finite and not overflow
        if not finite or count == 0:
            optimizer.zero_grad(set_to_none=True)
        for name in ("train/loss", "train/bits"):  # for callbacks; `StepMetrics` writes the row
            self.log(name, self.step_metrics[name], logger=False)

    def on_validation_epoch_start(self) -> None:
        """Begins a new table."""
        self._scores = None

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Adds up; every sample of every recording counts once, under the right condition and under wrong ones."""
        if self._scores is None:
            self._scores = Scores(batch["num_recordings"], self.inputs, self.device)
        outputs_BKT, codes_BT, counts_BT = self.predict(batch)
        nats_BT = self.head.nats(outputs_BKT, codes_BT)
        nats_B = sum_of(nats_BT, counts_BT)
        comparable_B = nats_B
        if self.comparable_codec != self.codec:
            comparable_B = sum_of(self.comparable_nats(outputs_BKT, codes_BT), counts_BT)
        extra = []
        for name in self.inputs:
            wrong_B = sum_of(self.wrong_nats(batch, name, codes_BT), counts_BT)
            extra.append((batch[f"changed_{name}"], wrong_B - nats_B))
        self._scores.add(
            batch["recording"], counts_BT.sum(dim=1), nats_B, comparable_B, extra, len(batch["bad"])
        )

    def on_validation_epoch_end(self) -> None:
        """Logs bits per sample over all ranks, and what a wrong condition costs."""
        assert self._scores is not None
        summary, self._scores = self._scores.reduce(self.trainer), None
        self.bad_slots = summary.bad
        self.log_dict({self.comparable_key: summary.comparable_bits, "val/bits": summary.bits}, prog_bar=True)
        self.gaps = {name: summary.gap(name) for name in self.inputs}
        for name, gap in self.gaps.items():
            if math.isfinite(gap.mean):
                self.log(f"val/bits_shuffled/{name}", summary.bits + gap.mean)
                self.log(f"val/gap/{name}", gap.mean)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW and the learning rate of the config, step by step."""
        config = self.config.optim
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, config.lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what `wavenet_pl.load` builds the model from."""
        checkpoint.setdefault(CHECKPOINT_KEY, {}).update(
            config=redact(to_plain(self.config)),
            sample_rate=self.sample_rate,
            index_fingerprint=self.index_fingerprint,
            labels=self.labels.to_plain(),
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses weights that were trained with other speakers, tags or features.

        Raises:
            UserError: names both sides.
        """
        try:
            labels = Labels.read(checkpoint[CHECKPOINT_KEY]["labels"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"the checkpoint says not what it was trained on ({error}); use another one"
            ) from None
        self.labels.check_same(labels, "the data", "the checkpoint")
