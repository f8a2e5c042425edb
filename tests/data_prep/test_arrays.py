"""`prepare --frames`: arrays of the user's own beside the recordings, checked against them and cut with them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from data_prep.files import FileRule
from data_prep.folder import read_folder
from data_prep.options import RuleOptions
from data_prep.rules import apply_rules
from data_prep.sources import File, Source
from tests.data_prep.corpus import (
    dropped,
    entries,
    make_corpus,
    noise,
    prepare,
    records,
    stored_frames,
    tree,
    write,
    write_table,
)
from tests.data_prep.test_report import table
from tests.full_disk import full_disk
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.known import check_inputs
from wavenet_pl.shards.index import load_index

RATE, HOP, FRAMES = 16_000, 80, 60
SECONDS = FRAMES * HOP / RATE
F0 = ("--frames", f"f0:hop={HOP}")
Numbers = npt.NDArray[Any]


def array_of(seed: int, frames: int = FRAMES, features: int = 2) -> Numbers:
    """Frames about a mean of their own for each feature, far from 0."""
    random = np.random.default_rng(seed)
    return 100.0 * np.arange(1, features + 1) + 30 * random.standard_normal((frames, features))


def make_set(folder: Path, name: str = "f0", features: int = 2) -> dict[str, Numbers]:
    """Recordings of two speakers with an array beside each; key -> array."""
    arrays = {}
    for number, path in enumerate(sorted(make_corpus(folder, seconds=SECONDS).rglob("*.wav"))):
        key = path.relative_to(folder).with_suffix("").as_posix()
        arrays[key] = array_of(number, features=features)
        np.save(path.with_suffix(f".{name}.npy"), arrays[key])
    return arrays


def spec_of(folder: Path, name: str = "f0") -> dict[str, Any]:
    """How the frames were made, as it stands in the file of the index."""
    spec: dict[str, Any] = load_index(folder).labels.frames[name]
    return spec


# --- what is stored ---


def test_what_is_stored_is_what_was_given(tmp_path: Path) -> None:
    arrays = make_set(tmp_path / "in")
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    stored = stored_frames(tmp_path / "out", "f0")
    assert stored.keys() == arrays.keys()
    for key, array in arrays.items():
        assert stored[key].dtype == np.float32
        assert np.array_equal(stored[key], array.astype(np.float32))
    check_inputs("the set", load_index(tmp_path / "out"), ["f0", "speaker"])


def test_mean_and_deviation_are_those_of_all_arrays(tmp_path: Path) -> None:
    arrays = make_set(tmp_path / "in", features=3)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    everything = np.concatenate(list(arrays.values()))
    spec = spec_of(tmp_path / "out")
    assert spec.keys() == {"hop_length", "mean", "std"} and spec["hop_length"] == HOP
    np.testing.assert_allclose(spec["mean"], everything.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(spec["std"], everything.std(axis=0), rtol=1e-5)
    f0 = UserFrames.from_spec("f0", spec)
    told = np.concatenate([f0.scaled(each) for each in stored_frames(tmp_path / "out", "f0").values()])
    np.testing.assert_allclose(told.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(told.std(axis=0), 1, atol=1e-3)


def test_recordings_for_validation_and_test_say_nothing_of_them(tmp_path: Path) -> None:
    arrays = make_set(tmp_path / "in")
    held = {"ann/take0": "val", "ann/take1": "test", "bob/take2": "val"}
    for key in held:
        np.save(tmp_path / f"in/{key}.f0.npy", 1e6 * arrays.pop(key))
    write_table(tmp_path / "in", ["file", "split"], *([f"{key}.wav", split] for key, split in held.items()))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    rest = np.concatenate(list(arrays.values()))
    np.testing.assert_allclose(spec_of(tmp_path / "out")["mean"], rest.mean(axis=0), rtol=1e-5)
    assert len(stored_frames(tmp_path / "out", "f0")) == 12, "they are prepared all the same"


@pytest.mark.slow
def test_numbers_that_were_given_are_kept_and_one_that_never_changes_is_told_as_nothing(
    tmp_path: Path,
) -> None:
    arrays = make_set(tmp_path / "in")
    for key, array in arrays.items():
        array[:, 1] = 7
        np.save(tmp_path / f"in/{key}.f0.npy", array)
    assert (
        prepare("folder", tmp_path / "in", tmp_path / "own", "--frames", f"f0:hop={HOP},mean=120,std=40") == 0
    )
    assert spec_of(tmp_path / "own") == {"hop_length": HOP, "mean": [120.0, 120.0], "std": [40.0, 40.0]}
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    f0 = UserFrames.from_spec("f0", spec_of(tmp_path / "out"))
    assert not any(f0.scaled(each)[:, 1].any() for each in stored_frames(tmp_path / "out", "f0").values())


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int16", "uint8", ">f4"])
@pytest.mark.parametrize("flat", [True, False])
def test_any_numbers_are_taken_and_one_number_a_frame_may_be_flat(
    tmp_path: Path, kind: str, flat: bool
) -> None:
    given = {}
    for number, path in enumerate(sorted(make_corpus(tmp_path / "in", each=2).rglob("*.wav"))):
        array = array_of(number, features=1).astype(kind)
        given[path.relative_to(tmp_path / "in").with_suffix("").as_posix()] = array
        np.save(path.with_suffix(".f0.npy"), array[:, 0] if flat else np.asfortranarray(array))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    for key, stored in stored_frames(tmp_path / "out", "f0").items():
        assert stored.shape == (FRAMES, 1)
        assert np.array_equal(stored, given[key].astype(np.float32))


@pytest.mark.parametrize("more", [-1, 1])
def test_one_frame_too_many_or_too_few_is_taken(tmp_path: Path, more: int) -> None:
    """Tools differ in whether they count the last frame: it is left out, or said again."""
    arrays = make_set(tmp_path / "in")
    odd = array_of(99, FRAMES + more)
    np.save(tmp_path / "in/ann/take3.f0.npy", odd)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    assert not dropped(tmp_path / "out")
    wanted = odd[:FRAMES] if more > 0 else np.concatenate([odd, odd[-1:]])
    assert np.array_equal(stored_frames(tmp_path / "out", "f0")["ann/take3"], wanted.astype(np.float32))
    assert len(arrays) == len(stored_frames(tmp_path / "out", "f0"))


def test_a_last_frame_that_the_audio_fills_in_part_counts(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"in/{number}.wav", noise((FRAMES * HOP + 1) / RATE, seed=number))
        np.save(tmp_path / f"in/{number}.f0.npy", array_of(number, FRAMES + 1))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    assert {len(stored) for stored in stored_frames(tmp_path / "out", "f0").values()} == {FRAMES + 1}


def test_the_report_says_how_they_are(tmp_path: Path) -> None:
    arrays = make_set(tmp_path / "in", features=1)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    report, spec = (tmp_path / "out/report.md").read_text(), spec_of(tmp_path / "out")
    mean = np.concatenate(list(arrays.values())).mean()
    settings = f"hop_length {HOP}, mean {spec['mean'][0]}, std {spec['std'][0]}"
    assert f"- f0: 0.06 min, mean {mean:.3f} ({settings})." in report
    rules = {row[0]: row[1:] for row in table(report, "Rules")}
    assert rules["frames"] == ["drop what has no array that fits", "3.60", "0.00", "0", "0"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rms", "peak", "key", "tables", "members", "arrays", "pedal"])
def test_frames_may_be_called_like_anything_that_the_report_counts(tmp_path: Path, name: str) -> None:
    arrays = make_set(tmp_path / "in", name)
    assert prepare("folder", tmp_path / "in", tmp_path / "plain") == 0
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--frames", f"{name}:hop={HOP}") == 0
    plain, report = ((tmp_path / out / "report.md").read_text() for out in ("plain", "out"))
    assert table(report, "Lengths and levels") == table(plain, "Lengths and levels")
    mean = np.concatenate(list(arrays.values())).mean()
    assert f"- {name}: 0.06 min, mean {mean:.3f} (" in report
    assert entries(tmp_path / "out").keys() == entries(tmp_path / "plain").keys()
    assert len(stored_frames(tmp_path / "out", name)) == 12


@pytest.mark.slow
def test_several_kinds_stand_side_by_side(tmp_path: Path) -> None:
    f0, energy = make_set(tmp_path / "in"), make_set(tmp_path / "in", "energy", 5)
    options = (*F0, "--frames", "energy:hop=160", "--mel")
    for key in energy:
        energy[key] = energy[key][: FRAMES // 2]
        np.save(tmp_path / f"in/{key}.energy.npy", energy[key])
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *options) == 0
    index = load_index(tmp_path / "out")
    assert {name: spec["hop_length"] for name, spec in index.labels.frames.items()} == {
        "energy": 160, "f0": 80, "mel": 200,
    }  # fmt: skip
    for name, given in (("f0", f0), ("energy", energy)):
        for key, stored in stored_frames(tmp_path / "out", name).items():
            assert np.array_equal(stored, given[key].astype(np.float32))


# --- which file belongs to which recording ---


def test_a_file_belongs_to_the_recording_that_it_is_called_like(tmp_path: Path) -> None:
    """Letter by letter but for what follows the name; hidden files belong to nobody."""
    names = ("a.wav", "A.wav", "b.1.flac", "sub/a.mp3")
    beside = (
        "a.f0.npy",
        "A.F0.NPY",
        "b.1.f0.npy",
        "sub/a.f0.npy",
        "b.f0.npy",
        "._a.f0.npy",
        "c.f0.npy",
        "f0.npy",
    )
    for name in (*names, *beside):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    corpus = read_folder(tmp_path, frames={"f0": FileRule(suffixes=(".f0.npy",))})
    assert {source.name: source.files["f0"].name for source in corpus.sources} == {
        "a.wav": "a.f0.npy",
        "A.wav": "A.F0.NPY",
        "b.1.flac": "b.1.f0.npy",
        "sub/a.mp3": "sub/a.f0.npy",
    }
    assert corpus.left_alone == {"hidden": 1, ".npy": 1}


# --- recordings longer than a minute, and cut ones ---

SLOW = 1_000
"""Hz: a minute of audio is small."""


def long_recording(folder: Path, name: str, samples: int, audio: Numbers | None = None) -> int:
    """A recording whose frame i is the number i; how many frames it has."""
    frames = -(-samples // HOP)
    write(folder / f"{name}.wav", noise(samples / SLOW, SLOW) if audio is None else audio, SLOW)
    np.save(folder / f"{name}.f0.npy", np.arange(frames, dtype=np.int32))
    return frames


def check_parts(out: Path, frames: dict[str, int]) -> int:
    """The frame of a part is that one of the whole in which its middle lies; how many parts there are."""
    stored, found = stored_frames(out, "f0"), entries(out)
    for key, array in stored.items():
        last = frames[found[key]["source"].removesuffix(".wav")] - 1
        assert len(array) == -(-len(found[key]["audio"]) // HOP)
        for number, whole in enumerate(array[:, 0].tolist()):
            middle = found[key]["start"] + number * HOP + HOP // 2
            assert whole * HOP <= middle < (whole + 1) * HOP or whole == last < middle / HOP
    return len(stored)


def test_parts_of_a_long_recording_have_its_frames_at_their_middles(tmp_path: Path) -> None:
    lengths = {"a": 150_250, "b": 61_003, "c": 3_000}
    frames = {name: long_recording(tmp_path / "in", name, samples) for name, samples in lengths.items()}
    options = ("--sample-rate", SLOW, "--val-fraction", 0, "--test-fraction", 0)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0, *options) == 0
    assert check_parts(tmp_path / "out", frames) == 3 + 2 + 1
    starts = {key: entry["start"] % HOP for key, entry in entries(tmp_path / "out").items()}
    assert any(starts.values()), "a part begins within a frame"


def test_frames_are_trimmed_with_the_audio(tmp_path: Path) -> None:
    """The array is that of the whole recording: silence counts in its length."""
    frames = {}
    for number, name in enumerate("abc"):
        pause = np.zeros(7_123 + 11 * number, np.float32)
        audio = np.concatenate([pause, noise(3.0, SLOW, seed=number), pause])
        frames[name] = long_recording(tmp_path / "in", name, len(audio), audio)
    options = ("--sample-rate", SLOW, "--val-fraction", 0, "--test-fraction", 0, "--trim", 40)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0, *options) == 0
    assert check_parts(tmp_path / "out", frames) == 3
    assert all(2_900 < len(entry["audio"]) < 3_500 for entry in entries(tmp_path / "out").values())
    assert all(entry["start"] > 6_900 for entry in entries(tmp_path / "out").values())


def test_frames_count_at_the_rate_of_the_shards(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"in/{number}.wav", noise(0.5, 48_000, seed=number), 48_000)
        np.save(tmp_path / f"in/{number}.f0.npy", array_of(number, 100))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    assert not dropped(tmp_path / "out")


# --- what does not fit ---


class Payload:
    """Runs a program where somebody unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def not_finite(value: float) -> Numbers:
    array = array_of(0)
    array[7, 1] = value
    return array


UNFIT: dict[str, tuple[Callable[[], Numbers] | None, str]] = {
    "missing": (None, "no file *.f0.npy beside it, expected one with its f0"),
    "short": (
        lambda: array_of(0, 58),
        "has 58 frames, expected 60: one for each 80 of the 4800 samples at 16000 Hz",
    ),
    "long": (
        lambda: array_of(0, 62),
        "has 62 frames, expected 60: one for each 80 of the 4800 samples at 16000 Hz",
    ),
    "empty": (
        lambda: array_of(0, 0),
        "has float64 of shape (0, 2), expected finite numbers of shape (frames,",
    ),
    "cube": (lambda: np.zeros((60, 2, 1)), "has float64 of shape (60, 2, 1), expected finite numbers"),
    "number": (lambda: np.float64(3), "has float64 of shape (), expected finite numbers"),
    "nan": (lambda: not_finite(np.nan), "has float64 of shape (60, 2), expected finite numbers"),
    "infinite": (lambda: not_finite(-np.inf), "has float64 of shape (60, 2), expected finite numbers"),
    "huge": (lambda: not_finite(1e300), "has float64 of shape (60, 2), expected finite numbers"),
    "bool": (lambda: np.ones((60, 2), bool), "has bool of shape (60, 2), expected finite numbers"),
    "complex": (
        lambda: np.ones((60, 2), complex),
        "has complex128 of shape (60, 2), expected finite numbers",
    ),
    "words": (lambda: np.full((60, 2), "x"), "has <U1 of shape (60, 2), expected finite numbers"),
}


def test_what_has_no_array_that_fits_is_dropped_and_says_which_file(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    kept = make_set(source)
    audio = noise(SECONDS)
    for name, (array, _) in UNFIT.items():
        write(source / f"{name}.wav", audio)
        if array is not None:
            np.save(source / f"{name}.f0.npy", array())
    for name in ("pickled", "page", "cut", "folder", "claims", "wide"):
        write(source / f"{name}.wav", audio)
    (source / "pickled.f0.npy").write_bytes(pickle.dumps(Payload(tmp_path / "trace")))
    (source / "page.f0.npy").write_bytes(b"<html>404 Not Found</html>")
    (source / "cut.f0.npy").write_bytes((source / "ann/take0.f0.npy").read_bytes()[:-8])
    (source / "folder.f0.npy").symlink_to(tmp_path / "gone")
    head = np.lib.format.MAGIC_PREFIX + b"\x01\x00" + (118).to_bytes(2, "little")
    claim = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999, 2), }"
    (source / "claims.f0.npy").write_bytes(head + claim.ljust(117) + b"\n")
    np.save(source / "wide.f0.npy", array_of(0, features=3))
    objects = np.array([[Payload(tmp_path / "trace"), 1]] * 60, dtype=object)
    np.save(source / "objects.f0.npy", objects, allow_pickle=True)
    write(source / "objects.wav", audio)
    write_table(source, ["file", "split"], ["wide.wav", "val"])  # it does not say how many features there are

    assert prepare("folder", source, out, *F0) == 0
    assert not (tmp_path / "trace").exists()
    found = {name.removesuffix(".wav"): row for name, row in dropped(out).items()}
    assert {rule for rule, _ in found.values()} == {"frames"}
    wanted = {name: f"{name}.f0.npy {said}" for name, (array, said) in UNFIT.items() if array}
    wanted["missing"] = UNFIT["missing"][1]
    wanted |= {
        name: f"{name}.f0.npy cannot be read ("
        for name in ("pickled", "page", "cut", "folder", "claims", "objects")
    }
    wanted["wide"] = "wide.f0.npy has 3 numbers in a frame, expected 2, as in other arrays"
    assert found.keys() == wanted.keys()
    for name, said in wanted.items():
        assert found[name][1].startswith(said), (found[name][1], said)
    assert stored_frames(out, "f0").keys() == kept.keys()
    report = {row[0]: row for row in table((out / "report.md").read_text(), "Dropped")}
    assert report["nan.wav"][2] == "frames" and "nan.f0.npy has float64" in report["nan.wav"][3]
    assert len(report) == len(wanted)


@pytest.mark.parametrize("name", [b"b\xff", b"b\n\x1b[2J"])
@pytest.mark.parametrize("good", [True, False])
def test_a_file_name_that_is_no_text_is_spelled_out(tmp_path: Path, name: bytes, good: bool) -> None:
    make_set(tmp_path / "in")
    audio, array = ((tmp_path / f"in/ann/take0.{kind}").read_bytes() for kind in ("wav", "f0.npy"))
    for extension, content in ((b".wav", audio), (b".f0.npy", array[: None if good else -8])):
        Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name + extension)).write_bytes(content)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    assert len(stored_frames(tmp_path / "out", "f0")) == 12 + good
    text = (tmp_path / "out/report.md").read_text()
    assert str(tmp_path) not in text and "\x1b" not in text
    assert ("f0.npy cannot be read" in text) is not good


def test_an_array_that_finds_no_room_is_none_that_does_not_fit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(SECONDS), RATE)
    (tmp_path / "a.tar").write_bytes(bytes(100_000))
    array = File(name="a.f0.npy", size=90_000, path=str(tmp_path / "a.tar"), offset=512)
    source = Source(name="a.wav", path=str(path), size=1, files={"f0": array})
    f0 = UserFrames(name="f0", hop_length=HOP, mean=(0.0,), std=(1.0,))
    with full_disk(50_000), pytest.raises(UserError, match="temporary files cannot be written to"):
        apply_rules(source, RuleOptions(frames=(f0,)))
    (step,) = [step for step in apply_rules(source, RuleOptions(frames=(f0,))).steps if step.reason]
    assert step.reason.startswith("a.f0.npy ") and step.rule == "frames"


def test_a_long_name_of_frames_leaves_room_for_keys(tmp_path: Path) -> None:
    name, stem = "f" * 40, "k" * 79
    for number in range(4):
        write(tmp_path / f"in/{stem}{number}.wav", noise(SECONDS, seed=number), RATE)
        np.save(tmp_path / f"in/{stem}{number}.{name}.npy", array_of(number))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--frames", f"{name}:hop={HOP}") == 0
    assert len(stored_frames(tmp_path / "out", name)) == 4


def test_a_recording_that_another_rule_drops_needs_no_array(tmp_path: Path) -> None:
    make_set(tmp_path / "in")
    write(tmp_path / "in/hush.wav", np.zeros(4_800))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    assert [rule for rule, _ in dropped(tmp_path / "out").values()] == ["silence"]


# --- the same bytes, and other arrays ---


@pytest.mark.slow
@pytest.mark.parametrize("how", ["slices", pytest.param("processes", marks=pytest.mark.slow)])
def test_the_bytes_do_not_depend_on_how_it_is_done(tmp_path: Path, how: str) -> None:
    make_set(tmp_path / "in")
    options = (*F0, "--recordings-per-shard", 3)
    assert prepare("folder", tmp_path / "in", tmp_path / "one", *options) == 0
    if how == "processes":
        assert prepare("folder", tmp_path / "in", tmp_path / "two", *options, jobs=2) == 0
    else:
        for number in (3, 1, 2):
            assert (
                prepare("folder", tmp_path / "in", tmp_path / "two", *options, "--slice", f"{number}/3") == 0
            )
        assert prepare("merge", tmp_path / "two") == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_second_run_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_set(tmp_path / "in")
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    before = tree(tmp_path / "out")
    for path in (tmp_path / "in").rglob("*"):
        path.touch()  # so that the hashes are asked
    capsys.readouterr()
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    assert "is prepared already: nothing to do" in capsys.readouterr().out
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("given", ["", ",mean=100,std=30"])
def test_an_array_of_the_same_size_with_other_numbers_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    """By its own name where mean and std are given; else their numbers have changed before anything is looked at."""
    option = f"f0:hop={HOP}{given}"
    arrays = make_set(tmp_path / "in")
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--frames", option) == 0
    before = tree(tmp_path / "out")
    np.save(tmp_path / "in/bob/take3.f0.npy", arrays["bob/take3"] + 50)
    capsys.readouterr()
    assert prepare("folder", tmp_path / "in", tmp_path / "out", "--frames", option) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    if given:
        assert "bob/take3.f0.npy in SRC has changed since it was packed into " in error
    else:
        assert "was begun with rules.frames {'f0': {'hop_length': 80, 'mean': [" in error
        assert (
            "give the same options and SRC to go on, name another DEST, or start over with --overwrite"
            in error
        )
    assert tree(tmp_path / "out") == before


@pytest.mark.slow
def test_an_array_that_is_gone_or_came_later_is_another_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = ("--frames", f"f0:hop={HOP},mean=100,std=30")
    arrays = make_set(tmp_path / "in")
    (tmp_path / "in/bob/take3.f0.npy").unlink()
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *option) == 0
    np.save(tmp_path / "in/bob/take3.f0.npy", arrays["bob/take3"])
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *option) == 2
    assert "was begun with other sources" in capsys.readouterr().err


@pytest.mark.slow
def test_the_record_has_the_hash_of_each_array(tmp_path: Path) -> None:
    make_set(tmp_path / "in")
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 0
    hashes = {
        name: sha for record in records(tmp_path / "out") for name, sha in record["files"]["f0"].items()
    }
    files = tree(tmp_path / "in")
    assert hashes == {name: files[name.replace(".wav", ".f0.npy")] for name in files if name.endswith(".wav")}


# --- mistakes ---


MISTAKES = {
    "no such arrays": (
        ["energy:hop=80"],
        "--frames energy cannot be used: no recording has a file .energy.npy beside",
    ),
    "no hop": (["f0"], "has no hop from 1 to 65536"),
    "twice": (["f0:hop=80", "f0:hop=160"], "--frames names one twice, expected each once; drop one"),
    "a batch's field": (["keys:hop=80"], "--frames names 'keys', which means something else here"),
    "its own frames": (["mel:hop=80"], "--frames names 'mel', which means something else here"),
    "a table": (["speaker:hop=80"], "--frames names 'speaker', which means something else here"),
    "a phase": (["f0_phase:hop=80"], "--frames names 'f0_phase', which cannot name an input"),
    "a wrong value": (["other_f0:hop=80"], "--frames names 'other_f0', which cannot name an input"),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_frames_that_cannot_be_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    make_set(tmp_path / "in")
    asked = [part for option in options for part in ("--frames", option)]
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *asked) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert not (tmp_path / "out").exists()


def test_arrays_that_do_not_agree_in_their_features_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Among those to train on nobody can say which of them is right."""
    make_set(tmp_path / "in")
    np.save(tmp_path / "in/bob/take3.f0.npy", array_of(0, features=3))
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 2
    assert "numbers in a frame, expected" in (error := capsys.readouterr().err)
    assert "as in other arrays of --frames f0; mend it or remove it" in error


def test_more_features_than_an_index_can_tell_of_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_set(tmp_path / "in", features=4_097)
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 2
    assert "expected 1 to 4096 numbers, one for each feature" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["nan", "missing", "page"])
def test_where_no_array_can_be_read_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    for path in make_corpus(tmp_path / "in").rglob("*.wav"):
        if wrong == "nan":
            np.save(path.with_suffix(".f0.npy"), np.full(FRAMES, np.nan))
        elif wrong == "page":
            path.with_suffix(".f0.npy").write_bytes(b"<html>")
    assert prepare("folder", tmp_path / "in", tmp_path / "out", *F0) == 2
    said = {
        "nan": "expected finite numbers",
        "missing": "no recording has a file .f0.npy",
        "page": "cannot be read",
    }
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--frames f0 cannot be used: " in error and said[wrong] in error


def test_frames_need_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for corpus in ("two_sines", "demo"):
        assert prepare(corpus, tmp_path / "out", *F0) == 2
        said = f"--frames is for files beside those of a folder, and {corpus} has none; drop it"
        assert said in capsys.readouterr().err
