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

from tests.small import small_module
from wavenet_pl import cli
from wavenet_pl.checkpoint import AtomicCheckpointIO, checkpoint_path
from wavenet_pl.run import RunFolder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("generate") / "run")
    folder.checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    module = small_module()
    content = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(content)
    AtomicCheckpointIO().save_checkpoint(content, checkpoint_path(folder, 3))
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
    assert "WARNING: this clip is noise" in out and "times real time" in err and "engine reference" in err


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
        (["--prompt", "missing.wav"], "--prompt missing.wav cannot be read"),
        (["--threads", "0"], "--threads is 0, expected"),
    ],
)
def test_a_mistake_is_one_message_and_2(run, tmp_path, capsys, arguments, message):
    assert cli.main(["generate", str(run), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_folder_without_checkpoints_is_refused(tmp_path, capsys):
    assert cli.main(["generate", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "has no checkpoint yet" in capsys.readouterr().err


@pytest.mark.slow
def test_after_ctrl_c_what_was_made_is_a_valid_file(run, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "wavenet_pl", "generate", str(run), "--out", str(tmp_path), "--seconds", "600"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # the first line of progress
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    audio, _ = soundfile.read(tmp_path / "clip-0000-000.wav")
    assert 0 < len(audio) < 600 * 8_000
