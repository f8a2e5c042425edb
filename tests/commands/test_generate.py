"""The command `generate`: what is written, what is reported, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.small import small_model
from wavenet_pl import cli
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
        stem = tmp_path / f"clip-0000-{number:03d}"
        audio, rate = soundfile.read(stem.with_suffix(".wav"))
        assert rate == 8_000 and len(audio) == 400
        assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        facts = json.loads(stem.with_suffix(".json").read_text())
        assert facts["seed"] == 0 and facts["clip"] == number and "noise" in facts["problem"]
    out, err = capsys.readouterr()
    assert "WARNING: this clip is noise" in out and "times real time" in err
    assert f"engine {facts['engine']}, weights float32, threads 1" in err


def test_a_clip_begins_with_its_prompt_resampled(run, tmp_path):
    prompt = tmp_path / "prompt.wav"
    soundfile.write(prompt, np.sin(np.arange(3_200) / 10)[:, None].repeat(2, axis=1) * 0.5, 16_000)
    out = tmp_path / "out"
    assert (
        cli.main(["generate", str(run), "--out", str(out), "--seconds", "0.05", "--prompt", str(prompt)]) == 0
    )
    audio, _ = soundfile.read(out / "clip-0000-000.wav")
    assert len(audio) == 1_600 + 400
    expected = np.sin(np.arange(1_600) / 5) * 0.5
    assert np.abs(audio[100:1_500] - expected[100:1_500]).max() < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count is 0, expected 1 or more"),
        (["--temperature", "-1"], "temperature is -1.0, expected"),
        (["--top-p", "0"], "top_p is 0.0, expected"),
        (["--prompt", "missing.wav"], "prompt missing.wav cannot be read"),
        (["--threads", "0"], "--threads is 0, expected"),
        (["--engine", "reference", "--weights", "int8"], "weights is int8, expected float32"),
        (["--list", "missing.jsonl"], "--list missing.jsonl cannot be read"),
        (["--list", "missing.jsonl", "--count", "2"], "--count is 2 beside --list"),
    ],
)
def test_a_mistake_is_one_message_and_2(run, tmp_path, capsys, arguments, message):
    assert cli.main(["generate", str(run), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


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
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # the first line of progress
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in err
    audio, _ = soundfile.read(tmp_path / "clip-0000-000.wav")
    assert 0 < len(audio) < 6000 * 8_000
