"""Does what README says, word for word: every command in it, in its order, and its Python, in a folder of its own.

    make readme

It is done in a small size, by these changes alone:

- behind every `train` stand the settings in the environment's README_SETTINGS (small ones where it is not set; none for
  README's own sizes), and behind every `adapt` those of them that are none of the model;
- eight GPUs are two processes, two nodes are one, ten minutes of a stream are a moment, and the demo's data are those
  that were prepared;
- recordings, scores and arrays of the reader's are made from the demo's, and a run's own name takes the place of the
  example's.

`make` itself is left out: who follows README has done that.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mido
import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "data_prep" / "demo"
SETTINGS = (
    "data.batch_size=2 data.crop_samples=1500 data.num_workers=0 train.threads=1 model.network.stacks=1 "
    "model.network.layers_per_stack=6 model.network.residual_channels=8 model.network.gate_channels=16 "
    "model.network.skip_channels=8 "
    "optim.warmup_steps=2 trainer.max_steps=4 trainer.val_check_interval=4 trainer.check_val_every_n_epoch=null "
    "trainer.limit_val_batches=4 samples.count=1 samples.seconds=0.2 samples.prompt_seconds=0.05"
)
SMALLER = {
    "trainer.devices=8 trainer.precision": "trainer.devices=2 trainer.precision",
    "--nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500": "--standalone --nproc-per-node 2",
    "trainer.devices=8 trainer.num_nodes=2": "trainer.devices=2",
    "seconds=600": "seconds=0.1",
    "data/demo": "data/mine",
}
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_RUN = re.compile(r"runs/([a-z]+(?:-[a-z]+)*)-[0-9a-f]{6}")


class Reader:
    """Somebody who follows README in a folder.

    Args:
        folder: empty, for all that is made.
        settings: behind every training.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self._folder, self._settings = folder, settings
        self._runs: dict[str, str] = {}

    def follow(self, text: str) -> None:
        """Do all of it.

        Raises:
            SystemExit: a command ended with another code than 0.
        """
        for language, block in _BLOCK.findall(text):
            if language == "python":
                self._do("the Python of README", [sys.executable, "-c", self._program(block)])
                continue
            for line in block.replace("\\\n", " ").splitlines():
                command = self._command(line.partition("   #")[0].strip())
                if command:
                    self._do(command, ["bash", "-c", command])

    def _command(self, line: str) -> str:
        if line.startswith(("make ", ". ")):
            return ""
        for words, others in SMALLER.items():
            line = line.replace(words, others)
        line = _RUN.sub(self._run, line.replace("/path/to", "given"))
        if re.search(r"wavenet(-pl|_pl) train ", line):
            line += f" {self._settings}"
        if "wavenet-pl adapt " in line:
            line += "".join(f" {each}" for each in self._settings.split() if not each.startswith("model."))
        return line

    def _program(self, block: str) -> str:
        for words, others in SMALLER.items():
            block = block.replace(words, others)
        own = "".join(f", {each!r}" for each in self._settings.split())
        return block.replace('"data.path=data/mine"', f'"data.path=data/mine"{own}')

    def _run(self, example: re.Match[str]) -> str:
        """The newest run of this name, when the example is met first."""
        if example[0] not in self._runs:
            runs = sorted(
                (self._folder / "runs").glob(f"{example[1]}-*"), key=lambda path: path.stat().st_mtime
            )
            self._runs[example[0]] = f"runs/{runs[-1].name}" if runs else example[0]
        return self._runs[example[0]]

    def _do(self, what: str, command: list[str]) -> None:
        print(f"$ {what}", flush=True)
        began = time.monotonic()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(f"  {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode:
            print(done.stdout)
            raise SystemExit(
                f"README: `{what}` ended with {done.returncode}, expected 0; what it said is above"
            )


def give(folder: Path) -> None:
    """What README supposes the reader to have: voices in folders, one more voice, a table with arrays, piano."""
    voices = {"anna": "allison_en", "june": "june_fr", "carlo": "carlo_it"}
    for name, source in voices.items():
        for recording in sorted((DEMO / source).glob("*.flac"))[:6]:
            _copy(recording, folder / "given" / "recordings" / name / recording.name)
    for recording in sorted((DEMO / "ivrvoice_ru").glob("*.flac")):  # a minute: enough for every weight
        _copy(recording, folder / "given" / "bela" / recording.name)
    rows = [("file", "speaker", "accent")]
    for number, recording in enumerate(sorted((DEMO / "allison_en").glob("*.flac"))[:8]):
        _copy(recording, folder / "given" / "speech" / recording.name)
        frames = 1 + len(soundfile.read(recording)[0]) // 80
        np.save(
            folder / "given" / "speech" / f"{recording.stem}.f0.npy", np.full((frames, 1), 120, np.float32)
        )
        rows.append((recording.name, "anna", ("scots", "welsh")[number % 2]))
    with open(folder / "given" / "speech" / "metadata.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    np.save(folder / "f0.npy", np.full((200, 1), 120, np.float32))
    (folder / "clips.jsonl").write_text(json.dumps({"seconds": 2, "speaker": "anna"}) + "\n")
    shutil.copy(next((folder / "given" / "bela").glob("*.flac")), folder / "recording.flac")
    audio, rate = soundfile.read(folder / "recording.flac")
    soundfile.write(folder / "recording.wav", audio, rate)
    for number in range(4):
        _play(folder / "given" / "piano" / f"piece-{number}", notes=[60 + number, 64, 67], rate=16_000)
    shutil.copy(folder / "given" / "piano" / "piece-0.mid", folder / "score.mid")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _play(stem: Path, notes: list[int], rate: int) -> None:
    """A WAV file of tones, and the MIDI file of their notes; half a second each."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    track, seconds = mido.MidiTrack(), np.arange(rate // 2) / rate
    for note in notes:
        track.append(mido.Message("note_on", note=note, velocity=80, time=0))
        track.append(mido.Message("note_off", note=note, velocity=0, time=480))
    file = mido.MidiFile()  # 480 ticks are half a second
    file.tracks.append(track)
    file.save(f"{stem}.mid")
    tones = [
        np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * seconds) * np.exp(-4 * seconds) for note in notes
    ]
    soundfile.write(f"{stem}.wav", 0.3 * np.concatenate(tones), rate)


def main() -> None:
    """Follow it from its beginning to its end."""
    parser = argparse.ArgumentParser(description="do what README says, in a small size")
    parser.add_argument(
        "--folder", type=Path, help="for all that is made, and kept there (default: one that goes)"
    )
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if given.folder is None else given.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        give(folder)
        Reader(folder, os.environ.get("README_SETTINGS", SETTINGS)).follow((ROOT / "README.md").read_text())
    print(f"README holds: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
