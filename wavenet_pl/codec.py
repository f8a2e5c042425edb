"""Codecs: audio in [-1, 1] to codes in [0, quantization_channels) and back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from wavenet_pl.config.model import MAX_EMBEDDED_CODES, CodecConfig


@dataclass(frozen=True)
class Codec(ABC):
    """Codes are ordered as the amplitudes that they stand for.

    Whatever the type of its input a codec computes in float32: bfloat16 would move a code by up to two.
    """

    quantization_channels: int = 256
    """How many codes there are."""
    kind: ClassVar[str]
    """What the configuration calls it."""

    @property
    def silence_code(self) -> int:
        """The code of amplitude zero."""
        return self.quantization_channels // 2

    def encode(self, audio: Tensor) -> Tensor:
        """Codes (int64) of finite audio of any shape; amplitudes outside [-1, 1] are clipped.

        Raises:
            ValueError: the audio is not floating point.
        """
        if not audio.is_floating_point():
            raise ValueError(
                f"audio to encode is {audio.dtype}, expected floating point in [-1, 1]; "
                "divide 16-bit audio by 32768"
            )
        return self._encode(audio.float().clamp(-1, 1))

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Amplitudes (float32) in [-1, 1], each in the middle of its code's step."""

    def describe(self) -> str:
        """The codec in words: ``256 mu-law codes``."""
        return f"{self.quantization_channels:,} {self.kind} codes"

    @abstractmethod
    def _encode(self, audio: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class MuLawCodec(Codec):
    """Mu-law companding (WaveNet, section 2.2): fine steps near silence, coarse ones where it is loud."""

    kind = "mu-law"

    def _encode(self, audio: Tensor) -> Tensor:
        mu = self.quantization_channels - 1
        companded = audio.sign() * (mu * audio.abs()).log1p() / math.log1p(mu)  # in [-1, 1]
        return ((companded + 1) / 2 * mu + 0.5).long()

    def decode(self, codes: Tensor) -> Tensor:
        """The middle is that of the companded step."""
        mu = self.quantization_channels - 1
        companded = codes.float() / mu * 2 - 1
        return companded.sign() * (companded.abs() * math.log1p(mu)).expm1() / mu


@dataclass(frozen=True)
class LinearCodec(Codec):
    """Equal steps; silence is exactly 0. With 65,536 codes decoding gives 16-bit audio back as it was."""

    kind = "linear"

    def _encode(self, audio: Tensor) -> Tensor:
        steps = (audio * (self.quantization_channels / 2)).round().long()
        # An even number of codes has one more below silence than above it, as 16-bit audio has.
        return (steps + self.silence_code).clamp(0, self.quantization_channels - 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Multiples of 2 / quantization_channels."""
        return (codes - self.silence_code).float() / (self.quantization_channels / 2)


def build_codec(config: CodecConfig) -> Codec:
    """The codec that the configuration asks for."""
    kinds: dict[str, type[Codec]] = {codec.kind: codec for codec in (MuLawCodec, LinearCodec)}
    return kinds[config.kind](config.quantization_channels)


def comparable_codec(codec: Codec) -> Codec:
    """The codec whose bits are compared: itself, or mu-law 256 for one with too many codes to count pairs of them."""
    return codec if codec.quantization_channels <= MAX_EMBEDDED_CODES else MuLawCodec()


def codes_alike(codec: Codec, coarse: Codec, codes: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last of the codec's codes that a coarser codec takes for the same.

    Args:
        codec: of the codes.
        coarse: gives several of them, all neighbours, one code.
        codes: of any shape.

    Returns:
        Two tensors like codes.
    """
    every_code = torch.arange(codec.quantization_channels, device=codes.device)
    coarse_codes = coarse.encode(codec.decode(every_code))  # never falls
    wanted = coarse_codes[codes]
    first = torch.searchsorted(coarse_codes, wanted)
    return first, torch.searchsorted(coarse_codes, wanted, right=True) - 1
