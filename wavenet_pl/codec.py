"""Codecs: audio in [-1, 1] to codes in [0, quantization_channels) and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from wavenet_pl.config import CodecConfig


@dataclass(frozen=True)
class MuLawCodec:
    """Mu-law companding (WaveNet, section 2.2): fine steps near silence, coarse ones where it is loud.

    Whatever the type of its input it computes in float32: bfloat16 would move a code by up to two.
    """

    quantization_channels: int = 256
    """How many codes there are."""

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
        mu = self.quantization_channels - 1
        audio = audio.float().clamp(-1, 1)
        companded = audio.sign() * (mu * audio.abs()).log1p() / math.log1p(mu)  # in [-1, 1]
        return ((companded + 1) / 2 * mu + 0.5).long()

    def decode(self, codes: Tensor) -> Tensor:
        """Amplitudes (float32) in [-1, 1], each the centre of its code's step."""
        mu = self.quantization_channels - 1
        companded = codes.float() / mu * 2 - 1
        return companded.sign() * (companded.abs() * math.log1p(mu)).expm1() / mu


def build_codec(config: CodecConfig) -> MuLawCodec:
    """The codec that the configuration asks for."""
    assert config.kind == "mu-law", config.kind  # the configuration knows no other kind
    return MuLawCodec(config.quantization_channels)
