"""The model: a network and what its numbers mean. It predicts, scores and generates, without a trainer.

Shapes: B batch or clips, T time, U its last columns, that are predicted, N new samples, K head parameters, H condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wavenet_pl.codec import build_codec, codes_alike, comparable_codec
from wavenet_pl.conditioning import Conditioner
from wavenet_pl.config.tree import Config
from wavenet_pl.generation.batches import divide
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.condition import ClipCondition, Condition
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import Engine, build_engine, stream
from wavenet_pl.generation.job import CHUNK, build_job
from wavenet_pl.generation.memory import check_room
from wavenet_pl.generation.requests import Clip, ClipRequest, resolve
from wavenet_pl.heads import build_head
from wavenet_pl.inputs.input import Input
from wavenet_pl.inputs.known import build_inputs
from wavenet_pl.network import State, WaveNet
from wavenet_pl.numbers.bounds import COUNTS, SECONDS
from wavenet_pl.shards.labels import Labels

Audio = npt.NDArray[np.float32]


class Predictions(NamedTuple):
    """What the network predicts for a batch: the last samples of each crop."""

    outputs_BKU: Tensor
    codes_BU: Tensor
    """The codes that the outputs predict."""
    counted_BU: Tensor
    """Which of the predictions count."""


class Model(nn.Module):
    """A WaveNet with its codec, its head and its conditioner: all that turns its numbers into audio and back.

    `wavenet_pl.load` returns one; `training.module.WaveNetModule` trains one.

    Args:
        config: the whole config of the run that it comes from.
        sample_rate: of its audio, in Hz.
        index_fingerprint: of the shard set that it is trained on; empty where it is not.
        labels: what the numbers of its conditions stand for.

    Raises:
        ValueError: the labels lack an input of the model.
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
        self.conditioner = self.build_conditioner()
        self.network = WaveNet(
            model.network,
            quantization_channels=self.codec.quantization_channels,
            decode=self.codec.decode,
            num_parameters=self.head.num_parameters,
            condition_channels=model.condition_channels,
        )

    def build_conditioner(self) -> Conditioner | None:
        """What turns a batch into the condition; None for a model without one. The one place to change for another."""
        config = self.config.model
        inputs = build_inputs(config.inputs, self.labels)
        return Conditioner(inputs, config.condition) if inputs else None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What the model is conditioned on beside the audio."""
        return () if self.conditioner is None else self.conditioner.model_inputs

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [each.name for each in self.inputs]

    @property
    def receptive_field(self) -> int:
        """How many samples one prediction depends on, the current one included."""
        return self.network.receptive_field

    @property
    def num_parameters(self) -> int:
        """How many weights there are."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def device(self) -> torch.device:
        """The device that the weights are on."""
        return next(self.network.parameters()).device

    def to_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with its tensors where the weights are."""
        return {
            name: value.to(self.device) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }

    # --- training and scoring ---

    def forward(
        self, codes_BT: Tensor, condition: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """As `WaveNet.forward`."""
        outputs_BKT, state = self.network(codes_BT, condition, state)
        return outputs_BKT, state

    def condition(self, batch: Mapping[str, Any], num_columns: int) -> Tensor | None:
        """The condition (B, H, num_columns) or (B, H, 1) of a batch."""
        return None if self.conditioner is None else self.conditioner(batch, num_columns)

    def predict(self, batch: Mapping[str, Any]) -> Predictions:
        """What the network predicts for the crops of a batch, as `data.pipeline.batched` makes them."""
        codes_BT, counted_BU = self.codec.encode(batch["audio"]), batch["counted"]
        condition, last = self.condition(batch, codes_BT.shape[1] - 1), counted_BU.shape[1]
        outputs_BKU, _ = self.network(codes_BT[:, :-1], condition, last=last, begins_B=batch["begin"])
        return Predictions(outputs_BKU, codes_BT[:, -last:], counted_BU)

    def nats(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Sum of nats (negative log-likelihood) over the batch's counted predictions, and how many these are."""
        outputs_BKU, codes_BU, counted_BU = self.predict(batch)
        return self.head.nats(outputs_BKU, codes_BU).where(counted_BU, 0.0).sum(), counted_BU.sum()

    def comparable_nats(self, outputs_BKT: Tensor, codes_BT: Tensor) -> Tensor:
        """Nats (B, T) that the same audio costs in codes of the comparable codec, which merges neighbouring codes."""
        if self.comparable_codec == self.codec:
            return self.head.nats(outputs_BKT, codes_BT)
        first_BT, last_BT = codes_alike(self.codec, self.comparable_codec, codes_BT)
        return self.head.nats_between(outputs_BKT, first_BT, last_BT)

    # --- generation ---

    def generate(
        self,
        seconds: float | None = None,
        count: int = 1,
        *,
        prompt: npt.ArrayLike | str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        engine: str = "auto",
        weights: str = "float32",
        threads: int | None = None,
        **condition: Any,
    ) -> Audio:
        """New audio, of clips with one condition: ``model.generate(2, speaker="anna")``.

        Args:
            seconds: length of each clip, without the prompt; None for as long as its frames last.
            count: how many clips; clip n of a seed is the same for any count.
            prompt: as in `ClipRequest`, for every clip, and so is the condition.
            temperature: 1 draws from the model, below 1 is more cautious, 0 takes the most probable code.
            top_p: draw from the fewest codes whose probability reaches this share.
            seed: another seed gives other clips.
            engine: as in `Choice`, and so are weights and threads.
            weights: their number format.
            threads: CPU threads.
            condition: a value for each input of the model, by its name.

        Returns:
            (count, samples) float32 in [-1, 1], without the prompt.

        Raises:
            ValueError: an argument is out of range, or no value of an input of this model.
        """
        COUNTS.check("count", count)
        request = ClipRequest(seconds=seconds, prompt=prompt, **condition)
        draw = Draw(temperature=temperature, top_p=top_p, seed=seed, clips=tuple(range(count)))
        choice = Choice(engine=engine, weights=weights, threads=threads)
        return np.stack(self.generate_each([request] * int(count), draw, choice))

    def generate_each(
        self,
        requests: Sequence[ClipRequest | Clip],
        draw: Draw | None = None,
        choice: Choice | None = None,
    ) -> list[Audio]:
        """New audio (samples,) float32 in [-1, 1] of clips that differ in anything, as many at a time as have room.

        Args:
            requests: what is asked for.
            draw: how to draw, with a number for each clip; 0, 1, ... and the defaults if None.
            choice: of the engine.

        Raises:
            ValueError: an argument is out of range.
        """
        clips, engine = self.resolve(requests), self.build_engine(choice)
        check_room(sum(clip.num_samples for clip in clips))
        whole, done = [np.empty(clip.num_samples, np.float32) for clip in clips], [0] * len(clips)
        draw = draw or Draw(clips=tuple(range(len(clips))))
        for batch in divide(self.network, clips, draw, CHUNK):
            pieces = self.stream(batch.clips, batch.draw, engine, chunk_seconds=CHUNK / self.sample_rate)
            for row, audio_N in batch.parts(pieces):
                whole[row][done[row] : done[row] + len(audio_N)] = audio_N
                done[row] += len(audio_N)
        return whole

    def stream(
        self,
        requests: ClipRequest | Clip | Sequence[ClipRequest | Clip],
        draw: Draw | None = None,
        engine: Engine | Choice | None = None,
        *,
        chunk_seconds: float = 0.02,
    ) -> Iterator[Audio]:
        """New audio chunk by chunk, as it is made: a player can start after the first chunk.

        Memory does not grow with the length of the clips.

        Args:
            requests: what is asked for.
            draw: how to draw, with a number for each clip; 0, 1, ... and the defaults if None.
            engine: or the choice of one.
            chunk_seconds: audio in a chunk.

        Yields:
            (B, N) float32 in [-1, 1], without the prompts; silence after a clip's end.

        Raises:
            ValueError: an argument is out of range.
        """
        SECONDS.check("chunk_seconds", chunk_seconds)
        clips = self.resolve([requests] if isinstance(requests, (ClipRequest, Clip)) else requests)
        draw = draw or Draw(clips=tuple(range(len(clips))))
        pieces = self.stream_codes(
            [clip.num_samples for clip in clips],
            draw,
            [self.encode(clip.prompt) for clip in clips],
            self.condition_of(clips),
            chunk=max(1, round(chunk_seconds * self.sample_rate)),
            engine=engine,
        )
        return (np.asarray(self.codec.decode(codes_BN).cpu().numpy()) for codes_BN in pieces)

    def resolve(self, requests: Sequence[ClipRequest | Clip]) -> list[Clip]:
        """The requested clips: names looked up, files read.

        Raises:
            ValueError: the value of an input is missing, or not one that this model knows.
        """
        unresolved = [each for each in requests if isinstance(each, ClipRequest)]
        resolved = iter(resolve(unresolved, self.inputs, self.sample_rate))
        return [next(resolved) if isinstance(each, ClipRequest) else each for each in requests]

    def stream_codes(
        self,
        num_samples: int | Sequence[int],
        draw: Draw,
        prompts: Sequence[Tensor] | Tensor | None = None,
        condition: Condition | Tensor | None = None,
        *,
        chunk: int = CHUNK,
        engine: Engine | Choice | None = None,
    ) -> Iterator[Tensor]:
        """Codes (B, N) piece by piece, with silence after a clip's end; arguments as `build_job`.

        Raises:
            ValueError: the arguments do not fit each other or the network.
        """
        job = build_job(
            self.network,
            self.head,
            draw,
            num_samples,
            silence_code=self.codec.silence_code,
            prompts=prompts,
            condition=condition,
            chunk=chunk,
        )
        if engine is None or isinstance(engine, Choice):
            engine = self.build_engine(engine)
        return stream(engine, self.network, job)

    def build_engine(self, choice: Choice | None = None) -> Engine:
        """An engine that generates with the weights as they are now."""
        return build_engine(self.network, self.head, choice or Choice())

    def condition_of(self, clips: Sequence[Clip]) -> Condition | None:
        """The condition of clips, or None for a model without one."""
        if self.conditioner is None:
            return None
        context = self.config.model.condition.frame_context
        return ClipCondition(self.conditioner, clips, frame_context=context, device=self.device)

    def encode(self, audio: npt.ArrayLike) -> Tensor:
        """Codes (T,) of audio (T,)."""
        return self.codec.encode(torch.as_tensor(np.asarray(audio, dtype=np.float32)))

    def through_codec(self, audio: npt.ArrayLike) -> Audio:
        """Audio (T,) as the codec gives it back: no clip can be nearer to it."""
        return np.asarray(self.codec.decode(self.encode(audio)).cpu().numpy())
