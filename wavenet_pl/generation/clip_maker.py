"""What a trained model is for: clips, as one would ask for them, whole or piece by piece.

Shapes: B clips, T time, N new samples, H condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl.codec import Codec
from wavenet_pl.conditioning import Conditioner
from wavenet_pl.config import Config
from wavenet_pl.generation.choice import Choice
from wavenet_pl.generation.condition import Condition
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import Engine, build_engine, stream
from wavenet_pl.generation.job import CHUNK, build_job
from wavenet_pl.generation.telling import tell
from wavenet_pl.heads import Head
from wavenet_pl.labels import Labels
from wavenet_pl.network import WaveNet

Audio = npt.NDArray[np.float32]
_BLOCK = 4096  # columns of a condition at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipRequest:
    """One clip that is asked for."""

    seconds: float
    """Length, without the prompt."""
    prompt: npt.ArrayLike | None = None
    """Audio (samples,) in [-1, 1] at the model's sample rate that the clip goes on from."""
    speaker: str | None = None
    """Name of the voice, for a model that is told of speakers."""
    tags: Sequence[str] = ()
    """Names of tags, for a model that is told of tags."""
    features: Mapping[str, npt.NDArray[Any]] | None = None
    """Stored frames of ``notes`` or ``mel`` by name, from the prompt's beginning on; see `features`."""

    def num_samples(self, sample_rate: int) -> int:
        """The length in samples, at least one."""
        return max(1, round(self.seconds * sample_rate))


class ClipMaker:
    """A model that makes clips: a network, what its codes mean, and what it can be told."""

    network: WaveNet
    head: Head
    codec: Codec
    conditioner: Conditioner | None
    labels: Labels
    config: Config
    sample_rate: int

    @property
    def inputs(self) -> list[str]:
        """What the model is told beside the audio."""
        return [] if self.conditioner is None else self.conditioner.names

    def condition(self, batch: dict[str, Any], num_columns: int) -> Tensor | None:
        """The condition (B, H, num_columns) or (B, H, 1) of a batch."""
        return None if self.conditioner is None else self.conditioner(batch, num_columns)

    def generate(
        self,
        seconds: float,
        count: int = 1,
        *,
        prompt: npt.ArrayLike | None = None,
        speaker: str | None = None,
        tags: Sequence[str] = (),
        features: Mapping[str, npt.NDArray[Any]] | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        engine: str = "auto",
        weights: str = "float32",
        threads: int | None = None,
    ) -> Audio:
        """New audio, of clips that are all told the same.

        Args:
            seconds: length of each clip, without the prompt.
            count: how many clips; clip n of a seed is the same for any count.
            prompt: as in `ClipRequest`, for every clip, and so are speaker, tags and features.
            speaker: the voice.
            tags: what the music is.
            features: frames by name.
            temperature: 1 draws from the model, less is bolder, 0 takes the most probable code.
            top_p: draw from the fewest codes whose probability reaches this share.
            seed: another seed gives other clips.
            engine: as in `Choice`, and so are weights and threads.
            weights: their number format.
            threads: CPU threads.

        Returns:
            (count, samples) float32 in [-1, 1], without the prompt.

        Raises:
            ValueError: an argument is out of range.
        """
        clip = ClipRequest(seconds=seconds, prompt=prompt, speaker=speaker, tags=tags, features=features)
        draw = Draw(temperature=temperature, top_p=top_p, seed=seed, clips=tuple(range(count)))
        choice = Choice(engine=engine, weights=weights, threads=threads)
        return np.stack(self.generate_each([clip] * count, draw, choice))

    def generate_each(
        self, clips: Sequence[ClipRequest], draw: Draw | None = None, choice: Choice | None = None
    ) -> list[Audio]:
        """New audio (samples,) float32 in [-1, 1] of clips that differ in anything, made in one batch.

        Args:
            clips: what is asked for.
            draw: how to draw, with a number for each clip; 0, 1, ... and the defaults if None.
            choice: of the engine.

        Raises:
            ValueError: an argument is out of range.
        """
        pieces = list(self.stream(clips, draw, choice, chunk_seconds=CHUNK / self.sample_rate))
        whole = np.concatenate(pieces, axis=1)
        return [audio[: clip.num_samples(self.sample_rate)] for audio, clip in zip(whole, clips, strict=True)]

    def stream(
        self,
        clips: ClipRequest | Sequence[ClipRequest],
        draw: Draw | None = None,
        engine: Engine | Choice | None = None,
        *,
        chunk_seconds: float = 0.02,
    ) -> Iterator[Audio]:
        """New audio as soon as it is there: a player can start after the first chunk.

        Memory does not grow with the length of the clips.

        Args:
            clips: what is asked for.
            draw: how to draw, with a number for each clip; 0, 1, ... and the defaults if None.
            engine: or the choice of one.
            chunk_seconds: audio in a chunk.

        Yields:
            (B, N) float32 in [-1, 1], without the prompts; silence after a clip's end.

        Raises:
            ValueError: an argument is out of range.
        """
        clips = [clips] if isinstance(clips, ClipRequest) else list(clips)
        draw = draw or Draw(clips=tuple(range(len(clips))))
        prompts = [self.encode(() if clip.prompt is None else clip.prompt) for clip in clips]
        lengths = [clip.num_samples(self.sample_rate) for clip in clips]
        pieces = self.stream_codes(
            lengths, draw, prompts, self.tell(clips), chunk=max(1, round(chunk_seconds * self.sample_rate)),
            engine=engine,
        )  # fmt: skip
        return (np.asarray(self.codec.decode(codes_BN).cpu().numpy()) for codes_BN in pieces)

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
        """What generates with the weights as they are now."""
        return build_engine(self.network, self.head, choice or Choice())

    def tell(self, clips: Sequence[ClipRequest]) -> Condition | None:
        """What the clips are told, or None for a model without a condition.

        Raises:
            ValueError: something is missing, or is not what this model can be told.
        """
        told = ToldCondition(self, clips)
        return told if self.inputs else None

    def encode(self, audio: npt.ArrayLike) -> Tensor:
        """Codes (T,) of audio (T,)."""
        return self.codec.encode(torch.as_tensor(np.asarray(audio, dtype=np.float32)))


class ToldCondition:
    """The condition of clips that are told in names and frames, made a block at a time while they are generated.

    Blocks begin at fixed samples and each clip has its own, so no column depends on what else is asked for, or when.

    Args:
        model: whose conditioner reads it.
        clips: what they are told.

    Raises:
        ValueError: something is missing, or is not what this model can be told.
    """

    def __init__(self, model: ClipMaker, clips: Sequence[ClipRequest]) -> None:
        self._model, self._clips = model, clips
        self._blocks: dict[int, tuple[int, Tensor]] = {}
        self.constant = not any(name in model.labels.features for name in model.inputs)
        for clip in clips:
            self._batch(clip, 0, 1)  # a mistake shows before anything is generated

    def columns(self, row: int, begin: int, end: int) -> Tensor:
        """As `Condition.columns`; what is after the last frame is told nothing."""
        if self.constant:
            return self._block(row, 0)
        first, last = begin // _BLOCK, max(begin, end - 1) // _BLOCK
        told_HT = torch.cat([self._block(row, block) for block in range(first, last + 1)], dim=1)
        return told_HT[:, begin - first * _BLOCK : end - first * _BLOCK]

    def _block(self, row: int, block: int) -> Tensor:
        number, told_HT = self._blocks.get(row, (-1, torch.empty(0)))
        if number != block:
            columns = 1 if self.constant else _BLOCK
            with torch.inference_mode():
                told = self._model.condition(self._batch(self._clips[row], block * _BLOCK, columns), columns)
            assert told is not None
            told_HT = told[0]
            self._blocks[row] = block, told_HT
        return told_HT

    def _batch(self, clip: ClipRequest, begin: int, num_columns: int) -> dict[str, Any]:
        model = self._model
        batch = tell(
            model.inputs,
            model.labels,
            num_columns=num_columns,
            frame_context=model.config.model.condition.frame_context,
            begin=begin,
            speaker=clip.speaker,
            tags=clip.tags,
            features=clip.features,
        )
        # Lightning's own record of the device is not that of weights that were loaded.
        device = model.network.output.weight.device
        return {name: value.to(device) for name, value in batch.items()}
