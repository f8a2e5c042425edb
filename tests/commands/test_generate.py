"""The command `generate`: what is written, what is reported, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import wavenet_pl
from tests.audio.files import claiming, encoded, tones
from tests.audio.test_midi import some_notes, write_midi
from tests.small import only_clip, small_model
from tests.started import ends_with_test
from wavenet_pl import ClipRequest, cli
from wavenet_pl.audio.wav import WavWriter, to_int16
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation import clip_files
from wavenet_pl.generation import batches
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_cpu import packing
from wavenet_pl.runs.folder import RunFolder, checkpoint_path
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import checkpoint_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("generate") / "run")
    folder.checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    module = small_model()
    AtomicCheckpointIO().save_checkpoint(checkpoint_of(module, 3), checkpoint_path(folder, 3))
    return folder.path


def test_writes_a_wav_a_picture_and_facts_for_each_clip(run, tmp_path, capsys):
    arguments = [
        "generate",
        str(run),
        "--out",
        str(tmp_path),
        "--seconds",
        "0.05",
        "--count",
        "2",
        "--threads",
        "1",
    ]
    assert cli.main(arguments) == 0
    for number in (0, 1):
        stem = tmp_path / f"run-seed0-{number:03d}"
        audio, rate = soundfile.read(stem.with_suffix(".wav"))
        assert rate == 8_000 and len(audio) == 400
        assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        facts = json.loads(stem.with_suffix(".json").read_text())
        assert facts["seed"] == 0 and facts["clip"] == number and "noise" in facts["problem"]
    out, err = capsys.readouterr()
    assert "WARNING: this clip is noise" in out and "times real time" in err
    assert f"engine {facts['engine']}, weights float32, threads 1" in err


def test_a_midi_file_that_breaks_the_format_is_played_with_a_warning(tmp_path, caplog):
    content = write_midi(tmp_path / "score.mid", some_notes(5)).read_bytes()
    (tmp_path / "score.mid").write_bytes(content[:11] + b"\2" + content[12:])
    music = ["generate", str(ROOT / "tests/stored/runs/music-81b6e3"), "--tags", "fast", "--seconds", "0.01"]
    paths = ["--notes", str(tmp_path / "score.mid"), "--out", str(tmp_path / "out")]
    assert cli.main([*music, *paths, "--count", "2", "--no-pictures", "--engine", "reference"]) == 0
    flaw = "has a flaw and is taken as it is: malformed, 1 of the 2 tracks that its header counts"
    assert caplog.messages == [f"notes {tmp_path / 'score.mid'} {flaw}"]


def test_a_prompt_of_any_make_is_whole_and_what_is_odd_about_it_is_told(run, tmp_path, caplog):
    for name, data, flaw in (
        ("piped.flac", claiming(encoded(tones(0.1, 8_000), "FLAC", "PCM_16", 8_000), 0), ""),
        ("chained.ogg", encoded(tones(0.1), "OGG") + encoded(tones(0.1), "OGG"), "joined, 2 streams"),
    ):
        (tmp_path / name).write_bytes(data)
        arguments = ["generate", str(run), "--out", str(tmp_path / "out"), "--seconds", "0.05", "--prompt"]
        assert cli.main([*arguments, str(tmp_path / name)]) == 0
        audio, _ = soundfile.read(only_clip(tmp_path / "out"))
        assert len(audio) == 400 + (1_600 if flaw else 800)
        assert flaw in caplog.text and bool(caplog.text) == bool(flaw)
        shutil.rmtree(tmp_path / "out")


def test_a_clip_begins_with_its_prompt_resampled(run, tmp_path):
    prompt = tmp_path / "prompt.wav"
    soundfile.write(prompt, np.sin(np.arange(3_200) / 10)[:, None].repeat(2, axis=1) * 0.5, 16_000)
    out = tmp_path / "out"
    assert (
        cli.main(["generate", str(run), "--out", str(out), "--seconds", "0.05", "--prompt", str(prompt)]) == 0
    )
    audio, _ = soundfile.read(only_clip(out))
    assert len(audio) == 1_600 + 400
    expected = np.sin(np.arange(1_600) / 5) * 0.5
    assert np.abs(audio[100:1_500] - expected[100:1_500]).max() < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count is 0, expected a whole number from 1 on"),
        (["--count", "9" * 30], "--count is 99999999"),
        (["--temperature", "-1"], "temperature is -1.0, expected"),
        (
            ["--temperature", "1e-46"],
            "temperature is 1e-46, expected a number from 0 to 1,000,000, and none between",
        ),
        (["--seed", "-1"], "--seed is -1, expected a whole number from 0"),
        (["--seed", "9" * 30], "--seed is 99999999"),
        (["--seconds", "1e300"], "seconds is 1e+300, expected a number above 0, from 0.000001 to 1,000,000"),
        (
            ["--seconds", "3e5"],
            "a clip of 300,000 s is more than a .wav file can hold, which is 268,435 s at 8,000 Hz",
        ),
        (["--top-p", "0"], "--top-p is 0.0, expected"),
        (["--prompt", "missing.wav"], "prompt missing.wav cannot be read"),
        (["--threads", "0"], "--threads is 0, expected"),
        (["--threads", "100000"], "--threads is 100000, expected 1 or more, up to 1,024"),
        (["--engine", "reference", "--weights", "int8"], "weights is int8, expected float32"),
        (["--list", "missing.jsonl"], "--list missing.jsonl cannot be read"),
        (["--list", "missing.jsonl", "--count", "2"], "--count is 2 beside --list"),
    ],
)
def test_a_mistake_is_one_message_and_2(run, tmp_path, capsys, arguments, message):
    assert cli.main(["generate", str(run), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def made(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_nothing_is_overwritten_unless_it_is_meant(run, tmp_path):
    command = ["generate", str(run), "--out", str(tmp_path), "--seconds", "0.02", "--no-pictures"]
    assert cli.main([*command, "--count", "2"]) == 0
    first = made(tmp_path)
    assert set(first) == {f"run-seed0-00{number}.{suffix}" for number in (0, 1) for suffix in ("wav", "json")}
    assert cli.main([*command, "--format", "flac", "--temperature", "0.5"]) == 0
    second = made(tmp_path)
    assert first.items() < second.items()
    assert set(second) - set(first) == {"run-seed0-002.flac", "run-seed0-002.json"}
    assert cli.main([*command, "--seed", "1"]) == 0
    third = made(tmp_path)
    assert second.items() < third.items() and "run-seed1-000.wav" in third, "each seed has its own numbers"
    assert cli.main([*command, "--temperature", "0.5", "--overwrite"]) == 0
    assert {name for name, content in made(tmp_path).items() if third[name] != content} == {
        "run-seed0-000.wav", "run-seed0-000.json"
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_that_was_named_is_that_file(run, tmp_path, capsys, suffix):
    command = [
        "generate",
        str(run),
        "--out",
        str(tmp_path / f"a new folder/take.{suffix}"),
        "--seconds",
        "0.02",
    ]
    assert cli.main(command) == 0
    before = made(tmp_path / "a new folder")
    assert set(before) == {f"take.{suffix}", "take.json", "take.png"}
    audio, _ = soundfile.read(tmp_path / f"a new folder/take.{suffix}", dtype="int16")
    assert np.array_equal(audio, to_int16(wavenet_pl.load(run).generate(0.02)[0]))
    (tmp_path / f"a new folder/take.{suffix}").unlink()
    assert cli.main([*command, "--seed", "1"]) == 2, "what lies beside it would be replaced as well"
    assert "take.json is there already, expected a name that is free" in capsys.readouterr().err
    assert cli.main([*command, "--seed", "1", "--overwrite"]) == 0
    assert set(made(tmp_path / "a new folder")) == set(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--out", "a.wav", "--count", "2"],
            "--out a.wav is one file, and 2 clips are asked for; name a folder",
        ),
        (
            ["--out", "a.wav", "--format", "flac"],
            "--out a.wav ends with .wav, and --format is flac; leave one out",
        ),
        (["--out", "a.mp3"], "--out a.mp3 ends with .mp3, expected a folder, or a file .wav or .flac"),
        (["--out", "b" * 300], "cannot be used (File name too long), expected a folder for the clips"),
        (["--out", "file"], "--out file cannot be used (File exists), expected a folder"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(run, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert cli.main(["generate", str(run), "--seconds", "0.02", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_that_is_not_there_is_answered_with_the_nearest(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("speech-1a2b3c", "speech-4d5e6f", "piano-778899"):
        (tmp_path / "runs" / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "speech-notes").mkdir()
    for typed in (
        "speech",
        "runs/speech",
        "runs/speech-1a2b3d",
        "runs/speech-1a2b3d/checkpoints/last.ckpt",
        "s" * 300,
    ):
        assert cli.main(["generate", typed, "--out", "clips"]) == 2
        error = capsys.readouterr().err
        assert f"{typed} is not there, expected a run" in error and error.count("\n") == 1
        nearest = error.rpartition("the nearest are ")[2].split(", ")
        assert nearest[0].startswith("runs/speech-")
        assert "runs/speech-notes" not in error, "it is no run"
    assert not (tmp_path / "clips").exists()


def test_a_folder_that_changes_meanwhile_is_one_message(run, tmp_path):
    model, path = wavenet_pl.load(run), tmp_path / "clip.wav"
    clips, engine = model.resolve([ClipRequest(seconds=0.01)]), model.build_engine()
    path.write_bytes(b"mine")
    with pytest.raises(
        UserError, match="clip.wav was written by another process meanwhile, expected a free name"
    ):
        clip_files.write_clips(model, clips, Draw(), engine, [path], replace=False)
    assert path.read_bytes() == b"mine"
    with pytest.raises(UserError, match="clip.wav cannot be written .*, expected a folder to write in"):
        clip_files.write_clips(model, clips, Draw(), engine, [tmp_path / "gone/clip.wav"], replace=False)


def test_many_clips_cost_no_more_for_each_than_few(run, tmp_path, monkeypatch):
    """Weights are packed once, nothing is drawn, and no more files are open than a batch has clips."""
    packed, drawn, most = [], [], 0
    begin = WavWriter.__init__

    def counted(self, path, *arguments, **options):
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")))
        begin(self, path, *arguments, **options)

    monkeypatch.setattr(packing, "pack", lambda *given, pack=packing.pack: packed.append(1) or pack(*given))
    monkeypatch.setattr(clip_files, "save_spectrograms", lambda *given: drawn.append(1))
    monkeypatch.setattr(WavWriter, "__init__", counted)
    monkeypatch.setattr(batches, "MOST", 16)
    open_before = len(os.listdir("/proc/self/fd"))
    arguments = ["--seconds", "0.002", "--count", "150", "--no-pictures", "--threads", "1"]
    assert cli.main(["generate", str(run), "--out", str(tmp_path), *arguments]) == 0
    assert (len(packed), drawn) == (1, []) and most <= open_before + 20
    assert len(list(tmp_path.glob("*.wav"))) == len(list(tmp_path.glob("*.json"))) == 150
    alone = wavenet_pl.load(run).generate_each([ClipRequest(seconds=0.002)], Draw(clips=(149,)))[0]
    assert np.array_equal(soundfile.read(tmp_path / "run-seed0-149.wav", dtype="int16")[0], to_int16(alone))


def test_clips_of_a_list_differ_and_are_made_in_one_batch(run, tmp_path, capsys):
    prompt, clips, out = tmp_path / "prompt.wav", tmp_path / "clips.jsonl", tmp_path / "out"
    soundfile.write(prompt, np.sin(np.arange(160) / 10) * 0.5, 8_000)
    lines = [{"seconds": 0.02}, {}, {"seconds": 0.05, "prompt": str(prompt)}]
    clips.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    arguments = ["generate", str(run), "--out", str(out), "--list", str(clips), "--seconds", "0.03"]
    assert cli.main(arguments) == 0
    lengths = [len(soundfile.read(path)[0]) for path in sorted(out.glob("*.wav"))]
    assert lengths == [160, 240, 160 + 400]
    facts = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    assert [(each["seconds"], each.get("prompt")) for each in facts] == [
        (0.02, None),
        (0.03, None),
        (0.05, str(prompt)),
    ]
    assert "0.10 s of audio" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, expected a clip on each line"),
        ("{}\nnot json", "line 2 is 'not json', expected a JSON object"),
        ("[1]", "line 1 is '[1]', expected a JSON object"),
        ('{"seconds": 0.1}\n\n{"seconds": 1e300}', "line 3 has seconds 1e+300, expected a number above 0"),
        ('{}\n{"seconds": 3e5}', "line 2: a clip of 300,000 s is more than a .wav file can hold"),
        ('{"seconds": 1, "seconds": 2}', "line 1 has 'seconds' twice, expected it once"),
        ('{"self": "me"}', "line 1: self is set, and this model has no condition; leave it out"),
        ('{"prompt": "a\u2028b.wav"}', "line 1: prompt a\\u2028b.wav cannot be read"),
        ('{"secnods": 1}', "line 1 has secnods 1, expected a name, a file or a list of names; did you mean seconds?"),
        ('{}\n{"promt": "a.wav"}', "line 2: promt is set, and this model has no condition; leave it out; did you"),
        ('{"prompt": "missing.wav"}', "line 1: prompt missing.wav cannot be read"),
        ('{"prompt": ["a", "b"]}', "line 1: prompt cannot be an array"),
        ('{"seconds": -1}', "line 1 has seconds -1, expected a number above 0"),
        ('{"seconds": true}', "line 1 has seconds True, expected a number above 0"),
        ('{"tags": ["calm", 3]}', "line 1 has tags ['calm', 3], expected a name, a file or a list of names"),
        ('{"speaker": 3}', "line 1 has speaker 3, expected a name, a file or a list of names"),
        ('{"speaker": null}', "line 1 has speaker None, expected a name, a file or a list of names"),
        ('{"speaker": "anna"}', "line 1: speaker is set, and this model has no condition; leave it out"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_list_is_named_with_its_line(run, tmp_path, capsys, text, message):
    (tmp_path / "clips.jsonl").write_text(text)
    command = ["generate", str(run), "--out", str(tmp_path / "out"), "--list", str(tmp_path / "clips.jsonl")]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_folder_without_checkpoints_is_refused(tmp_path, capsys):
    assert cli.main(["generate", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "has no checkpoint yet" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_after_a_signal_what_was_made_is_a_valid_file(run, tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "wavenet_pl", "generate", str(run), "--out", str(tmp_path), "--seconds", "6000"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    ends_with_test(process)
    assert process.stderr is not None
    process.stderr.readline()  # the first line of progress
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in err
    audio, _ = soundfile.read(only_clip(tmp_path))
    assert 0 < len(audio) < 6000 * 8_000
