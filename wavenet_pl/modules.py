"""The LightningModules: one trainer, and a model for each kind of condition.

Shapes: B batch, T time, K head parameters, H condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as L
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from wavenet_pl import counter
from wavenet_pl.codec import build_codec, codes_alike, comparable_codec
from wavenet_pl.config import ConditionConfig, Config, to_plain
from wavenet_pl.generation import reference
from wavenet_pl.generation.draw import Draw
from wavenet_pl.heads import LogisticsHead, build_head
from wavenet_pl.network import State, WaveNet
from wavenet_pl.redaction import redact

CHECKPOINT_KEY = "wavenet_pl"
"""Where a checkpoint keeps what is ours: config, sample rate, fingerprint of the index."""


class WaveNetModule(L.LightningModule):
    """Trains a WaveNet on crops. A model overrides `build_conditioner` and nothing else.

    Args:
        config: the whole config of the run.
        sample_rate: of the audio it is trained on, in Hz.
        index_fingerprint: of the shard set it is trained on.
    """

    def __init__(self, config: Config, *, sample_rate: int, index_fingerprint: str = "") -> None:
        super().__init__()
        self.config, self.sample_rate, self.index_fingerprint = config, sample_rate, index_fingerprint
        model = config.model
        self.codec = build_codec(model.codec)
        self.comparable_codec = comparable_codec(self.codec)
        """The codec in whose codes bits are compared with those of simple models."""
        self.comparable_key = "val/bits" if self.comparable_codec == self.codec else "val/bits_mulaw256"
        """What these bits are logged as; other models may have them under val/bits."""
        self.head = build_head(model.head, self.codec)
        self.conditioner = self.build_conditioner(model.condition)
        self.network = WaveNet(
            model.network,
            quantization_channels=self.codec.quantization_channels,
            decode=self.codec.decode,
            num_parameters=self.head.num_parameters,
            condition_channels=model.condition.channels,
        )
        self._sums = _Sums()
        self.step_metrics: dict[str, float] = {}
        """Numbers of the newest optimizer step."""
        self.step_skipped = False
        """Whether the newest optimizer step changed nothing, because its numbers were not finite."""
        self.bad_slots = 0
        """Slots of the newest optimizer step or validation, over all ranks, whose recording could not be read."""

    def build_conditioner(self, config: ConditionConfig) -> nn.Module | None:
        """What turns a batch into the condition; None for a model without one."""
        raise NotImplementedError

    def condition(self, batch: dict[str, Any]) -> Tensor | None:
        """The condition (B, H, T) or (B, H, 1) of a batch."""
        return None if self.conditioner is None else self.conditioner(batch)

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
        outputs_BKT, _ = self(codes_BT[:, :-1], self.condition(batch))
        output_T = torch.arange(outputs_BKT.shape[2], device=outputs_BKT.device)
        counts_BT = (batch["first"][:, None] <= output_T) & (output_T < batch["last"][:, None])
        return outputs_BKT, codes_BT[:, 1:], counts_BT

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
        self._sums.add(nats, nats, count, len(batch["bad"]))
        ways = self.trainer.world_size * self.trainer.accumulate_grad_batches
        self._planned = max(batch["predictions"], 1)
        return nats * (ways / self._planned)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Mends the gradients where damaged recordings made the batch smaller than planned; logs the step.

        Gradients that are not finite are dropped, so that neither weights nor averages change. All ranks see the same
        sums and the same gradients, and do the same.
        """
        nats, _, count, self.bad_slots = self._sums.reduce(self.trainer)
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
        """Begins a new sum."""
        self._sums = _Sums()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Adds up; every sample of every recording counts once."""
        outputs_BKT, codes_BT, counts_BT = self.predict(batch)
        nats_BT = self.head.nats(outputs_BKT, codes_BT)
        comparable_BT = (
            nats_BT if self.comparable_key == "val/bits" else self.comparable_nats(outputs_BKT, codes_BT)
        )
        nats, comparable = (each_BT.where(counts_BT, 0.0).sum() for each_BT in (nats_BT, comparable_BT))
        self._sums.add(nats, comparable, counts_BT.sum(), len(batch["bad"]))

    def on_validation_epoch_end(self) -> None:
        """Logs bits per sample over all ranks."""
        nats, comparable, count, self.bad_slots = self._sums.reduce(self.trainer)
        bits = {self.comparable_key: comparable, "val/bits": nats}
        self.log_dict({key: nats / max(count, 1) / math.log(2) for key, nats in bits.items()}, prog_bar=True)

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
        )

    def stream(
        self,
        num_samples: int,
        draw: Draw,
        prompt_BT: Tensor | None = None,
        condition: Tensor | None = None,
        chunk: int = 200,
    ) -> Iterator[Tensor]:
        """Generates codes piece by piece; as `generation.reference.stream`."""
        return reference.stream(
            self.network,
            self.head,
            draw,
            num_samples,
            silence_code=self.codec.silence_code,
            prompt_BT=prompt_BT,
            condition=condition,
            chunk=chunk,
        )

    def generate(
        self,
        seconds: float,
        count: int = 1,
        *,
        prompt: npt.ArrayLike | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> npt.NDArray[np.float32]:
        """New audio.

        Args:
            seconds: length of each clip, without the prompt.
            count: how many clips; clip n of a seed is the same for any count.
            prompt: audio (samples,) in [-1, 1] at the model's sample rate that every clip goes on from.
            temperature: 1 draws from the model, less is bolder, 0 takes the most probable code.
            top_p: draw from the fewest codes whose probability reaches this share.
            seed: another seed gives other clips.

        Returns:
            (count, samples) float32 in [-1, 1], without the prompt.

        Raises:
            ValueError: an argument is out of range.
        """
        num_samples = round(seconds * self.sample_rate)
        draw = Draw(temperature=temperature, top_p=top_p, seed=seed, clips=tuple(range(count)))
        prompt_BT = None if prompt is None else self.encode_prompt(prompt, count)
        codes = torch.cat(list(self.stream(num_samples, draw, prompt_BT)), dim=1)
        return np.asarray(self.codec.decode(codes).cpu().numpy())

    def encode_prompt(self, audio: npt.ArrayLike, count: int) -> Tensor:
        """Codes (count, samples) of audio (samples,), the same in each row."""
        codes_T = self.codec.encode(torch.as_tensor(np.asarray(audio, dtype=np.float32)))
        return codes_T.expand(count, -1)


class UnconditionalWaveNet(WaveNetModule):
    """Audio, given nothing but its past."""

    def build_conditioner(self, config: ConditionConfig) -> None:
        """None."""
        return


MODULES = {"unconditional": UnconditionalWaveNet}
"""model.kind -> its module."""


def build_module(config: Config, *, sample_rate: int, index_fingerprint: str = "") -> WaveNetModule:
    """The module that the config asks for; arguments as `WaveNetModule`."""
    return MODULES[config.model.kind](config, sample_rate=sample_rate, index_fingerprint=index_fingerprint)


class _Sums:
    """Nats, comparable nats, predictions and bad slots of a step or of a validation, over all ranks in the end."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def add(self, nats: Tensor, comparable: Tensor, count: Tensor, bad: int) -> None:
        sums = torch.stack(
            [each.detach().double() for each in (nats, comparable, count, count.new_tensor(bad))]
        )
        self._sums = sums if self._sums is None else self._sums + sums

    def reduce(self, trainer: L.Trainer) -> tuple[float, float, int, int]:
        """The sums over all ranks; afterwards they begin anew."""
        assert self._sums is not None
        nats, comparable, count, bad = trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        self._sums = None
        return nats, comparable, int(count), int(bad)
