"""The voice as a shard set: the bytes of `prepare folder`, the same ones after a kill, and what adapt says of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.hearing import examine
from data_prep.voice import describe, prepare_voice
from tests.data_prep.corpus import entries, noise, prepare, tree, write, write_table
from tests.data_prep.voices import RATE, chosen, copy_voice, speech
from tests.started import ends_with_test
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.shards.index import load_index

ROOT = Path(__file__).resolve().parents[2]


def said(folder: Path, minutes: float | None = None) -> str:
    """What adapt says of a folder."""
    return "\n".join(describe(examine(folder, RATE), chosen(folder, minutes)))


@pytest.mark.slow
@pytest.mark.parametrize("mel", [False, True])
def test_whole_recordings_have_the_bytes_that_prepare_gives_them(tmp_path: Path, mel: bool) -> None:
    source = copy_voice(tmp_path / "src")
    write(source / "stereo.wav", np.stack([speech(2.5, "june_fr")] * 2, axis=1), 22_050)
    choice = chosen(source)
    frames = (Mel.default(choice.sample_rate),) if mel else ()
    prepare_voice(choice, "ann", tmp_path / "voice", frames=frames)
    held_out = {piece.heard.source.name for piece in choice.held_out}
    names = [piece.heard.source.name for piece in (*choice.train, *choice.held_out)]
    rows = [(name, "ann", "val" if name in held_out else "train") for name in names]
    write_table(source, ["file", "speaker", "split"], *rows)
    assert prepare("folder", source, tmp_path / "plain", *(["--mel"] if mel else [])) == 0
    ours, theirs = load_index(tmp_path / "voice"), load_index(tmp_path / "plain")
    assert ours.fingerprint == theirs.fingerprint
    for shard in ("train/shard-000000.tar", "val/shard-000000.tar"):
        assert (tmp_path / "voice" / shard).read_bytes() == (tmp_path / "plain" / shard).read_bytes()


@pytest.mark.slow
def test_a_stretch_is_that_part_of_the_whole(tmp_path: Path) -> None:
    source = tmp_path / "src"
    write(source / "talk.flac", speech(30), subtype="PCM_16")
    choice = chosen(source, minutes=0.3)
    prepare_voice(choice, "ann", tmp_path / "voice")
    assert prepare("folder", source, tmp_path / "plain", "--val-fraction", 0, "--test-fraction", 0) == 0
    whole = next(iter(entries(tmp_path / "plain").values()))["audio"]
    found = {fields["split"]: fields for fields in entries(tmp_path / "voice").values()}
    for split, piece in (("train", choice.train[0]), ("val", choice.held_out[0])):
        assert found[split]["speaker"] == "ann"
        assert found[split]["start"] == piece.start
        np.testing.assert_array_equal(found[split]["audio"], whole[piece.start : piece.stop])
    index = load_index(tmp_path / "voice")
    assert index.labels.tables == {"speaker": ("ann",)}
    assert index.seconds("train") == choice.train_seconds
    assert index.seconds("val") == choice.held_out_seconds


def test_a_stretch_of_more_than_a_minute_is_cut_and_knows_where_it_began(tmp_path: Path) -> None:
    source = tmp_path / "src"
    write(source / "talk.flac", np.concatenate([np.zeros(RATE), speech(100)]), subtype="PCM_16")
    choice = chosen(source)
    prepare_voice(choice, "ann", tmp_path / "voice")
    parts = sorted(entries(tmp_path / "voice", "train").values(), key=lambda fields: int(fields["start"]))
    assert [fields["start"] for fields in parts] == [
        choice.train[0].start,
        choice.train[0].start + len(parts[0]["audio"]),
    ]


@pytest.mark.slow
def test_the_set_depends_on_the_audio_and_not_on_where_it_lies(tmp_path: Path) -> None:
    for place in ("here", "there"):
        prepare_voice(chosen(copy_voice(tmp_path / place), 0.4), "ann", tmp_path / f"{place}-set")
    assert tree(tmp_path / "here-set") == tree(tmp_path / "there-set")


def test_a_finished_set_is_left_as_it_is(tmp_path: Path) -> None:
    choice = chosen(copy_voice(tmp_path / "src", count=6))
    prepare_voice(choice, "ann", tmp_path / "set")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    prepare_voice(choice, "ann", tmp_path / "set")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("other", ["speaker", "minutes", "content"])
def test_another_voice_in_the_folder_is_refused(tmp_path: Path, other: str) -> None:
    source = copy_voice(tmp_path / "src", count=6)
    choice = chosen(source)
    prepare_voice(choice, "ann", tmp_path / "set")
    before = tree(tmp_path / "set")
    if other == "content":
        path = sorted(source.iterdir())[0]
        audio, _ = soundfile.read(path, dtype="int16")
        write(path, audio // 2, subtype="PCM_16")
    if other != "speaker":
        choice = chosen(source, 0.1 if other == "minutes" else None)
    with pytest.raises(
        UserError, match="holds a voice that was prepared from other audio.*expected.*remove it"
    ):
        prepare_voice(choice, "bob" if other == "speaker" else "ann", tmp_path / "set")
    assert tree(tmp_path / "set") == before


def test_audio_that_changes_after_it_was_heard_is_refused(tmp_path: Path) -> None:
    source = copy_voice(tmp_path / "src", count=6)
    choice = chosen(source)
    name = choice.train[0].heard.source.name
    write(source / name, speech(2))
    with pytest.raises(
        UserError, match=f"{name} has changed since it was examined, expected the same audio; run"
    ):
        prepare_voice(choice, "ann", tmp_path / "set")


def test_the_lines_say_what_is_used(tmp_path: Path) -> None:
    source = copy_voice(tmp_path)
    lines = said(source, 0.3)
    assert "audio: " in lines
    assert "in 29 of 29 files; 16000 Hz; one channel" in lines
    assert "held out for early stopping" in lines
    assert "sound: SNR about " in lines
    assert not [line for line in lines.splitlines() if line.startswith(" ")]  # a clean voice needs no advice


def test_a_recording_whose_end_is_held_out_is_named(tmp_path: Path) -> None:
    write(tmp_path / "talk.flac", speech(30))
    assert "the last 3.0 s of talk.flac held out, after a gap of 0.10 s, for early stopping" in said(tmp_path)


def test_more_minutes_than_there_are_use_all_and_say_so(tmp_path: Path) -> None:
    source = copy_voice(tmp_path, count=6)
    assert chosen(source, 9).fingerprint == chosen(source).fingerprint
    assert "--minutes 9 is more than there is: all is used" in said(source, 9)


@pytest.mark.parametrize(
    ("gain", "hiss", "pause", "advice"),
    [
        (1.0, 0.02, 0.0, "noisy: below 20 dB"),
        (8.0, 0.0, 0.0, "clipped: more than 0.1%, most in talk"),
        (1.0, 0.0, 9.0, "silent: more than 40% of the time"),
    ],
)
def test_what_is_bad_comes_with_advice(
    tmp_path: Path, gain: float, hiss: float, pause: float, advice: str
) -> None:
    for number, voice in enumerate(("allison_en", "june_fr")):
        audio = gain * speech(9, voice) + noise(9, level=hiss, seed=number)
        write(
            tmp_path / f"talk{number}.wav",
            np.concatenate([np.clip(audio, -1, 1), np.zeros(int(pause * RATE))]),
        )
    advices = [line for line in said(tmp_path).splitlines() if line.startswith(" ")]
    assert len(advices) == 1
    assert advices[0].startswith(f"  {advice}")


def test_flaws_are_told_by_file(tmp_path: Path) -> None:
    for number, voice in enumerate(("allison_en", "june_fr")):
        audio = speech(6, voice)
        write(tmp_path / f"{number}.wav", np.stack([audio, -0.9 * audio], axis=1), subtype="FLOAT")
    advices = [line for line in said(tmp_path).splitlines() if line.startswith(" ")]
    assert sorted(advices) == [
        f"  {number}.wav: channels cancel: the mix is 26 dB below its channels" for number in range(2)
    ]


def test_channels_bad_files_and_several_speakers_are_told(tmp_path: Path) -> None:
    for number, speaker in enumerate(("ann", "bob")):
        copy_voice(tmp_path / speaker, ("allison_en", "june_fr")[number], count=4)
    write(tmp_path / "ann/old.wav", noise(1, 8_000), 8_000)
    write(tmp_path / "ann/stereo.wav", np.stack([speech(3)] * 2, axis=1), 44_100)
    lines = said(tmp_path)
    assert "in 9 of 10 files; 16000 Hz, 44100 Hz; 1 with several channels, averaged" in lines
    assert "cannot be used: ann/old.wav: 8000 Hz, below the model's 16000 Hz" in lines
    assert "several speakers, by folder or metadata.csv (ann, bob): all become one voice" in lines


@pytest.mark.slow
@pytest.mark.parametrize("records", [0, 1])
def test_killed_in_the_middle_it_makes_the_same_set(tmp_path: Path, records: int) -> None:
    source = tmp_path / "src"
    for number in range(40):
        write(source / f"{number}.flac", speech(8 + number / 10, "june_fr"), 22_050)
    choice = chosen(source)
    prepare_voice(choice, "ann", tmp_path / "whole", frames=(Mel.default(choice.sample_rate),))
    program = (
        "from pathlib import Path\n"
        "from data_prep.voice import prepare_voice\n"
        "from tests.data_prep.voices import chosen\n"
        "from wavenet_pl.inputs.mel import Mel\n"
        f"choice = chosen(Path({str(source)!r}))\n"
        "frames = (Mel.default(choice.sample_rate),)\n"
        f"prepare_voice(choice, 'ann', Path({str(tmp_path / 'set')!r}), frames=frames)\n"
    )
    command = [sys.executable, "-c", program]
    process = ends_with_test(subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True))
    done = tmp_path / "set/.prepare"
    until = time.monotonic() + 120
    while len(list(done.glob("*/shard-*.json"))) < records or not (done / "plan.json").exists():
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < until
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (done / "done.json").exists(), "it was finished before it was killed"
    prepare_voice(choice, "ann", tmp_path / "set", frames=(Mel.default(choice.sample_rate),))
    assert tree(tmp_path / "set") == tree(tmp_path / "whole")
