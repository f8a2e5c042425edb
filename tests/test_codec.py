"""Codecs: identity on codes, clipping, float32 whatever comes in; mu-law is torchaudio's, 16 bits stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wavenet_pl.codec import Codec, LinearCodec, MuLawCodec, build_codec, codes_alike, comparable_codec
from wavenet_pl.config.model import CodecConfig

NUMBERS_OF_CODES = (2, 3, 16, 64, 255, 256, 257, 1024)
CODECS = [
    *(MuLawCodec(number) for number in NUMBERS_OF_CODES),
    *(LinearCodec(number) for number in (*NUMBERS_OF_CODES, 65_536)),
]
EIGHT_AND_SIXTEEN_BITS = [MuLawCodec(256), LinearCodec(256), LinearCodec(65_536)]


def every_code(codec: Codec) -> Tensor:
    return torch.arange(codec.quantization_channels)


@pytest.mark.parametrize("codec", CODECS, ids=Codec.describe)
def test_encoding_undoes_decoding_for_every_code(codec: Codec) -> None:
    codes = every_code(codec)
    assert torch.equal(codec.encode(codec.decode(codes)), codes)


@pytest.mark.parametrize("quantization_channels", NUMBERS_OF_CODES)
def test_inside_minus_one_to_one_mu_law_is_torchaudios(quantization_channels: int) -> None:
    from wavenet_pl.audio import resampling as dsp

    functional = dsp.torchaudio().functional
    codec = MuLawCodec(quantization_channels)
    audio = torch.linspace(-1, 1, 100_001)
    assert torch.equal(codec.encode(audio), functional.mu_law_encoding(audio, quantization_channels))
    codes = torch.arange(quantization_channels)
    torch.testing.assert_close(
        codec.decode(codes), functional.mu_law_decoding(codes, quantization_channels), rtol=1e-5, atol=1e-6
    )


def test_all_16_bit_audio_comes_back_as_it_was() -> None:
    samples = torch.arange(-32_768, 32_768)
    audio, codec = samples.float() / 32_768, LinearCodec(65_536)
    assert torch.equal(codec.encode(audio), samples + 32_768)
    assert torch.equal(codec.decode(codec.encode(audio)), audio)


@pytest.mark.parametrize("quantization_channels", [*NUMBERS_OF_CODES, 65_536])
def test_linear_codes_are_half_a_step_off_at_most(quantization_channels: int) -> None:
    codec, audio = LinearCodec(quantization_channels), torch.linspace(-1, 1, 100_001)
    error = (codec.decode(codec.encode(audio)) - audio).abs()
    half_step = 1 / quantization_channels
    assert error[audio < 1 - 2 * half_step].max() <= half_step * 1.001 + 1e-7
    assert error.max() <= 2 * half_step  # the highest code stands for the last step below 1


@pytest.mark.parametrize("codec", EIGHT_AND_SIXTEEN_BITS, ids=Codec.describe)
def test_silence_is_the_code_in_the_middle(codec: Codec) -> None:
    assert codec.silence_code == {256: 128, 65_536: 32_768}[codec.quantization_channels]


@pytest.mark.parametrize("codec", CODECS, ids=Codec.describe)
def test_silence_code_is_what_zero_becomes(codec: Codec) -> None:
    assert codec.encode(torch.tensor([0.0, -0.0])).tolist() == [codec.silence_code] * 2


def test_linear_silence_is_exactly_zero() -> None:
    for number in NUMBERS_OF_CODES:
        codec = LinearCodec(number)
        assert codec.decode(torch.tensor(codec.silence_code)) == 0


@pytest.mark.parametrize("codec", CODECS, ids=Codec.describe)
def test_audio_outside_of_the_range_is_clipped(codec: Codec) -> None:
    audio = torch.tensor([-float("inf"), -1.5, -1, 1, 1.5, float("inf")])
    highest = codec.quantization_channels - 1
    assert codec.encode(audio).tolist() == [0, 0, 0, highest, highest, highest]


@pytest.mark.parametrize("codec", EIGHT_AND_SIXTEEN_BITS, ids=Codec.describe)
def test_encoding_is_monotonic_and_uses_every_code(codec: Codec) -> None:
    codes = codec.encode(torch.linspace(-1, 1, 400_001))
    assert torch.equal(codes.unique_consecutive(), every_code(codec))


def test_decoded_mu_law_is_odd_and_spans_the_range() -> None:
    amplitudes = MuLawCodec(256).decode(torch.arange(256))
    assert amplitudes[0] == -1
    assert amplitudes[-1] == 1
    torch.testing.assert_close(amplitudes, -amplitudes.flip(0))


@pytest.mark.parametrize("codec", EIGHT_AND_SIXTEEN_BITS, ids=Codec.describe)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_types_of_audio_do_not_move_a_code(codec: Codec, dtype: torch.dtype) -> None:
    audio = torch.linspace(-1, 1, 10_001).to(dtype)
    assert torch.equal(codec.encode(audio), codec.encode(audio.float()))


@pytest.mark.parametrize("codec", EIGHT_AND_SIXTEEN_BITS, ids=Codec.describe)
def test_autocast_does_not_move_a_code(codec: Codec) -> None:
    audio = torch.linspace(-1, 1, 10_001)
    with torch.autocast("cpu", torch.bfloat16):
        codes = codec.encode(audio)
        amplitudes = codec.decode(codes)
    assert torch.equal(codes, codec.encode(audio))
    assert torch.equal(amplitudes, codec.decode(codes))


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 4)])
@pytest.mark.parametrize("codec", EIGHT_AND_SIXTEEN_BITS, ids=Codec.describe)
def test_shapes_are_kept(codec: Codec, shape: tuple[int, ...]) -> None:
    codes = codec.encode(torch.zeros(shape))
    assert (codes.shape, codes.dtype) == (shape, torch.int64)
    amplitudes = codec.decode(codes)
    assert (amplitudes.shape, amplitudes.dtype) == (shape, torch.float32)


@pytest.mark.parametrize("codec", EIGHT_AND_SIXTEEN_BITS, ids=Codec.describe)
def test_integer_audio_raises(codec: Codec) -> None:
    with pytest.raises(ValueError, match="audio to encode is torch.int16, expected floating point .* divide"):
        codec.encode(torch.zeros(3, dtype=torch.int16))


@pytest.mark.parametrize("codec", CODECS, ids=Codec.describe)
def test_built_codec_is_the_configured_one(codec: Codec) -> None:
    config = CodecConfig(kind=codec.kind, quantization_channels=codec.quantization_channels)  # type: ignore[arg-type]
    assert build_codec(config) == codec


# --- coarser codes ---


def test_bits_of_16_bit_codes_are_compared_in_mu_law_256() -> None:
    assert comparable_codec(LinearCodec(65_536)) == MuLawCodec(256)
    assert comparable_codec(LinearCodec(256)) == LinearCodec(256)
    assert comparable_codec(MuLawCodec(1024)) == MuLawCodec(1024)


def test_codes_alike_are_those_of_one_coarser_code() -> None:
    fine, coarse = LinearCodec(65_536), MuLawCodec(256)
    merged = coarse.encode(fine.decode(every_code(fine))).tolist()
    first, last = codes_alike(fine, coarse, every_code(fine))
    spans = list(zip(first.tolist(), last.tolist(), strict=True))
    for code in range(0, 65_536, 977):
        alike = [other for other in range(65_536) if merged[other] == merged[code]]
        assert spans[code] == (alike[0], alike[-1])
    # Together they are all codes, each once, and no coarser code is without one.
    assert len(set(spans)) == 256
    assert sum(last - first + 1 for first, last in set(spans)) == 65_536
