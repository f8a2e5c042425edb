"""Mu-law: identity on codes, clipping, float32 whatever comes in, and the same codes as torchaudio."""

from __future__ import annotations

import pytest
import torch

from wavenet_pl.codec import MuLawCodec, build_codec
from wavenet_pl.config import CodecConfig

NUMBERS_OF_CODES = (2, 3, 16, 64, 255, 256, 257, 1024)


@pytest.mark.parametrize("quantization_channels", NUMBERS_OF_CODES)
def test_encoding_undoes_decoding_for_every_code(quantization_channels: int) -> None:
    codec = MuLawCodec(quantization_channels)
    codes = torch.arange(quantization_channels)
    assert torch.equal(codec.encode(codec.decode(codes)), codes)


@pytest.mark.parametrize("quantization_channels", NUMBERS_OF_CODES)
def test_inside_minus_one_to_one_it_is_torchaudio(quantization_channels: int) -> None:
    from wavenet_pl import dsp

    functional = dsp.torchaudio().functional
    codec = MuLawCodec(quantization_channels)
    audio = torch.linspace(-1, 1, 100_001)
    assert torch.equal(codec.encode(audio), functional.mu_law_encoding(audio, quantization_channels))
    codes = torch.arange(quantization_channels)
    torch.testing.assert_close(
        codec.decode(codes), functional.mu_law_decoding(codes, quantization_channels), rtol=1e-5, atol=1e-6
    )


def test_silence_is_code_128() -> None:
    assert MuLawCodec(256).silence_code == 128


@pytest.mark.parametrize("quantization_channels", NUMBERS_OF_CODES)
def test_silence_code_is_what_zero_becomes(quantization_channels: int) -> None:
    codec = MuLawCodec(quantization_channels)
    assert codec.encode(torch.tensor([0.0, -0.0])).tolist() == [codec.silence_code] * 2


def test_audio_outside_of_the_range_is_clipped() -> None:
    audio = torch.tensor([-float("inf"), -1.5, -1, 1, 1.5, float("inf")])
    assert MuLawCodec(256).encode(audio).tolist() == [0, 0, 0, 255, 255, 255]


def test_encoding_is_monotonic_and_uses_every_code() -> None:
    codes = MuLawCodec(256).encode(torch.linspace(-1, 1, 100_001))
    assert codes.unique_consecutive().tolist() == list(range(256))


def test_decoded_amplitudes_are_odd_and_span_the_range() -> None:
    amplitudes = MuLawCodec(256).decode(torch.arange(256))
    assert amplitudes[0] == -1
    assert amplitudes[-1] == 1
    torch.testing.assert_close(amplitudes, -amplitudes.flip(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_types_of_audio_do_not_move_a_code(dtype: torch.dtype) -> None:
    audio = torch.linspace(-1, 1, 10_001).to(dtype)
    codec = MuLawCodec(256)
    assert torch.equal(codec.encode(audio), codec.encode(audio.float()))


def test_autocast_does_not_move_a_code() -> None:
    codec, audio = MuLawCodec(256), torch.linspace(-1, 1, 10_001)
    with torch.autocast("cpu", torch.bfloat16):
        codes = codec.encode(audio)
        amplitudes = codec.decode(codes)
    assert torch.equal(codes, codec.encode(audio))
    assert torch.equal(amplitudes, codec.decode(codes))


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 4)])
def test_shapes_are_kept(shape: tuple[int, ...]) -> None:
    codes = MuLawCodec().encode(torch.zeros(shape))
    assert (codes.shape, codes.dtype) == (shape, torch.int64)
    amplitudes = MuLawCodec().decode(codes)
    assert (amplitudes.shape, amplitudes.dtype) == (shape, torch.float32)


def test_integer_audio_raises() -> None:
    with pytest.raises(ValueError, match="audio to encode is torch.int16, expected floating point .* divide"):
        MuLawCodec().encode(torch.zeros(3, dtype=torch.int16))


def test_built_codec_has_the_configured_number_of_codes() -> None:
    assert build_codec(CodecConfig(quantization_channels=64)) == MuLawCodec(64)
