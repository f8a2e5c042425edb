"""Features as bytes and as settings: what is written comes back, and nothing else is taken for it."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from wavenet_pl.audio.features import (
    FeatureSpec,
    MelSpec,
    NotesSpec,
    decode_features,
    encode_features,
    read_spec,
)
from wavenet_pl.errors import BadDataError

NOTES = NotesSpec(hop_length=64)
MEL = MelSpec(
    hop_length=200, window_length=800, num_mels=20, lowest_hz=55.0, highest_hz=7600.0, floor_db=-80.0
)


def some(spec: FeatureSpec, num_samples: int, seed: int = 0) -> npt.NDArray[Any]:
    random = np.random.default_rng(seed)
    shape = spec.num_frames(num_samples), spec.num_features
    return (random.uniform(0, spec.full_scale, shape)).astype(spec.dtype)


def as_npy(array: npt.NDArray[Any], **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("spec", [NOTES, MEL])
@pytest.mark.parametrize("num_samples", [1, 64, 65, 4000])
def test_what_is_encoded_comes_back(spec: FeatureSpec, num_samples: int) -> None:
    stored = some(spec, num_samples)
    back = decode_features(spec, encode_features(spec, stored), num_samples)
    assert back.dtype == spec.dtype and np.array_equal(back, stored)


@pytest.mark.parametrize("spec", [NOTES, MEL])
def test_numpy_reads_what_is_encoded_and_the_other_way_round(spec: FeatureSpec) -> None:
    stored = some(spec, 4000)
    assert np.array_equal(np.load(io.BytesIO(encode_features(spec, stored))), stored)
    assert np.array_equal(decode_features(spec, as_npy(stored), 4000), stored)


def huge_header() -> bytes:
    content = as_npy(some(NOTES, 640))
    return content.replace(b"(10, 89)", b"(9999999999999, 89)".ljust(8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no .npy file of version 1.0, expected notes features"),
        (pickle.dumps([1]), "is no .npy file"),
        (as_npy(some(NOTES, 640)).replace(b"Y\x01", b"Y\x03"), "is no .npy file of version 1.0"),
        (as_npy(np.array([{}] * 10), allow_pickle=True), "has the header"),
        (as_npy(some(NOTES, 640).astype(np.float64)), "expected .*u1"),
        (as_npy(some(NOTES, 704)), r"has the header .*\(11, 89\).*, expected .*\(10, 89\)"),
        (as_npy(np.asfortranarray(some(NOTES, 640))), "'fortran_order': True"),
        (huge_header(), "9999999999999"),
        (as_npy(some(NOTES, 640))[:-1], "has 889 bytes of notes, expected 890"),
        (as_npy(some(NOTES, 640)) + b"x", "has 891 bytes"),
        (as_npy(some(NOTES, 640) | np.uint8(128)), "has notes out of range, expected 0 to 127"),
    ],
)
def test_everything_else_is_refused_in_a_line(content: bytes, said: str) -> None:
    with pytest.raises(BadDataError, match=said) as caught:
        decode_features(NOTES, content, 640)
    assert caught.value.kind == "bad features" and "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [np.nan, np.inf, -0.5, 1.5])
def test_mel_that_is_no_share_of_full_scale_is_refused(number: float) -> None:
    stored = some(MEL, 2000)
    stored[3, 2] = number
    with pytest.raises(BadDataError, match="has mel out of range, expected 0 to 1"):
        decode_features(MEL, encode_features(MEL, stored), 2000)


@pytest.mark.parametrize("spec", [NOTES, MEL])
def test_a_spec_comes_back_from_json(spec: FeatureSpec) -> None:
    assert read_spec(spec.name, spec.to_plain()) == spec


def test_a_whole_number_of_hertz_is_the_same_setting() -> None:
    read = read_spec("mel", {**MEL.to_plain(), "lowest_hz": 55})
    assert read == MEL and read.fingerprint == MEL.fingerprint


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("chroma", {}, "called 'chroma', expected one of notes, mel"),
        ("notes", {"window_length": 3}, "has the settings .*, expected hop_length"),
        ("mel", {"floor_db": None}, "has floor_db None, expected a number from -200.0 to -10.0"),
        ("mel", {"hop_length": 0}, "has hop_length 0, expected a whole number from 1 to 65536"),
        ("mel", {"hop_length": True}, "has hop_length True"),
        ("mel", {"hop_length": 200.0}, "has hop_length 200.0"),
        ("mel", {"num_mels": 513}, "has num_mels 513"),
        ("mel", {"window_length": 199}, "has window_length 199, expected hop_length 200 or more"),
        ("mel", {"lowest_hz": 7600.0}, "has lowest_hz 7600, expected less than highest_hz 7600"),
        ("mel", {"highest_hz": float("nan")}, "has highest_hz nan"),
        ("mel", {"floor_db": "x" * 999}, "has floor_db 'xxx"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(name: str, change: dict[str, Any], said: str) -> None:
    plain = (NOTES if name == "notes" else MEL).to_plain()
    with pytest.raises(ValueError, match=said) as caught:
        read_spec(name, {**plain, **change})
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("plain", [None, [], {}, 3])
def test_settings_that_are_no_object_are_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match="has the settings .*, expected hop_length"):
        read_spec("notes", plain)
