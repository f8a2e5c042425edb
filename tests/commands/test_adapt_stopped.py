"""Signals to `adapt`: before its training they end it at once, as nothing would be lost; in it they save."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.processes import ROOT
from tests.shards.made import SAMPLE_RATE, make_audio
from wavenet_pl import cli
from wavenet_pl.signals import EXIT_CODES
from wavenet_pl.tracking.rows import read_metrics

BASE = ROOT / "tests/stored/runs/speaker-affaaa"
SETTINGS = ("trainer.max_steps=100000", "trainer.val_check_interval=50000", "data.batch_size=2", "data.num_workers=0",
            "train.threads=1", "trainer.accelerator=cpu", "wandb.mode=disabled")  # fmt: skip


def start(audio: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`wavenet-pl adapt` in a process of its own, with runs in a folder."""
    words = [
        "adapt",
        str(BASE),
        "--audio",
        str(audio),
        "--speaker",
        "dora",
        "--runs",
        str(folder / "runs"),
        *arguments,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "wavenet_pl", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, cwd=folder, start_new_session=True,
    )  # fmt: skip


def wait_until(process: subprocess.Popen[str], so: Callable[[], bool]) -> None:
    limit = time.monotonic() + 200
    while not so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


def reads(process: subprocess.Popen[str], folder: Path) -> bool:
    """Whether it has a file of this folder open."""
    files = list(Path(f"/proc/{process.pid}/fd").iterdir())
    return any(os.path.realpath(file).startswith(f"{folder.resolve()}/") for file in files)


@pytest.fixture(scope="module")
def much(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hours of audio, in many names of one file, whose examination takes minutes."""
    folder = tmp_path_factory.mktemp("much")
    soundfile.write(folder / "0.wav", make_audio(300 * 44_100, 44_100), 44_100)
    for number in range(1, 300):
        (folder / f"{number}.wav").hardlink_to(folder / "0.wav")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        (("--dry-run",), signal.SIGINT, 130),
        (("--dry-run",), signal.SIGTERM, -signal.SIGTERM),
        (SETTINGS, signal.SIGINT, 130),
        (SETTINGS, signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_while_audio_is_examined_a_signal_ends_it_at_once(
    much: Path, tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    process = start(much, tmp_path, *arguments)
    try:
        wait_until(process, lambda: reads(process, much))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in err and not out and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_while_it_trains_a_signal_saves(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    for number in range(4):
        voice = np.roll(make_audio(SAMPLE_RATE, seed=301), 1_777 * number)
        soundfile.write(audio / f"{number}.wav", voice, SAMPLE_RATE, subtype="PCM_16")
    process = start(audio, tmp_path, "--method", "embedding", *SETTINGS)
    try:
        wait_until(process, lambda: any(read_metrics(path) for path in tmp_path.glob("runs/*/metrics.jsonl")))
        process.send_signal(signal.SIGUSR1)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 85, err
    assert "SIGUSR1: stopping after this step, and saving" in err
    assert list(tmp_path.glob("runs/dora-embedding-*/checkpoints/*.ckpt"))


def test_a_merge_leaves_signals_as_they_are(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in EXIT_CODES]
    assert cli.main(["adapt", str(tmp_path), "--merge", str(tmp_path / "merged.ckpt")]) == 2
    assert [signal.getsignal(number) for number in EXIT_CODES] == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(EXIT_CODES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "seed: 1\nname: mine\n",
            "2: name is 'mine', expected nothing of it: the data are --audio, and the run is named",
        ),
        ("data:\n  path: data/speech\n", "2: data.path is 'data/speech', expected nothing of it"),
    ],
)
def test_a_file_whose_settings_would_be_ignored_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    words = [
        "adapt",
        str(BASE),
        "--audio",
        str(tmp_path),
        "--speaker",
        "dora",
        "--runs",
        str(tmp_path / "runs"),
    ]
    assert cli.main([*words, str(tmp_path / "own.yaml")]) == 2
    assert f"own.yaml:{message}" in capsys.readouterr().err
    for own, setting in (
        ("name=mine", "name=mine is set"),
        ("data={path: x}", "command line: data.path is 'x'"),
    ):
        assert cli.main([*words, own]) == 2
        assert f"{setting}, expected nothing of it: the data are --audio" in capsys.readouterr().err
