"""Small corpora for the tests, and what may be asked of a prepared one."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.cli import main
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.known import build_inputs
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split


def noise(seconds: float, rate: int = 16_000, level: float = 0.1, seed: int = 0) -> npt.NDArray[np.float32]:
    """(samples,) of white noise, never above 4 times its level."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (level * np.clip(samples, -4, 4)).astype(np.float32)


def write(path: Path, audio: npt.ArrayLike, rate: int = 16_000, **options: Any) -> Path:
    """An audio file in a folder that is made if need be; the kind follows from the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.asarray(audio), rate, **options)
    return path


def make_corpus(
    folder: Path, speakers: Sequence[str] = ("ann", "bob"), each: int = 6, seconds: float = 0.3
) -> Path:
    """Some recordings for each speaker, all different."""
    for number, speaker in enumerate(speakers):
        for take in range(each):
            audio = noise(seconds, seed=100 * number + take)
            write(folder / speaker / f"take{take}.wav", audio, subtype="PCM_16")
    return folder


def write_table(folder: Path, columns: Sequence[str], *rows: Sequence[str]) -> Path:
    """metadata.csv in a folder."""
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder


def prepare(*arguments: object, jobs: int = 1) -> int:
    """`wavenet-pl prepare ...` in this process; the exit code."""
    work = [] if arguments[0] == "merge" else ["--jobs", str(jobs)]
    return main(["prepare", *map(str, arguments), *work])


def tree(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def entries(folder: Path, split: str | None = None) -> dict[str, dict[str, Any]]:
    """Key -> JSON of every recording, read with tarfile; `split` and `audio` (int16) are added."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob(f"{split or '*'}/shard-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, extension = member.name.split(".", 1)
                data = tar.extractfile(member)
                assert data is not None
                fields = found.setdefault(key, {"split": path.parent.name})
                if extension == "json":
                    fields.update(json.load(data))
                elif extension == "flac":
                    fields["audio"], fields["rate"] = soundfile.read(data, dtype="int16")
    return found


def stored_frames(folder: Path, name: str) -> dict[str, npt.NDArray[Any]]:
    """Key -> stored frames (N, F) of every recording, read by way of the index."""
    index, found = load_index(folder), {}
    (each,) = build_inputs([name], index.labels)
    assert isinstance(each, Frames)
    for shards in index.splits.values():
        split = Split(shards, shard_storage(index, folder), index.sample_rate, index.labels)
        for position in range(len(split)):
            stored = each.stored(split, position)
            assert not isinstance(stored, Damage), stored
            found[split[position].key] = stored
    return found


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of all shards."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob(".prepare/*/shard-*.json"))]


def tally(folder: Path, rule: str) -> dict[str, float]:
    """What one rule kept and dropped, over all shards."""
    rules = [record["rules"][rule] for record in records(folder)]
    return {name: sum(rule[name] for rule in rules) for name in rules[0]}


def dropped(folder: Path) -> dict[str, tuple[str, str]]:
    """Source -> (rule, reason)."""
    return {
        row["source"]: (row["rule"], row["reason"]) for record in records(folder) for row in record["dropped"]
    }
