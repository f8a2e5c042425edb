"""Small real shard sets for tests: made audio, written and indexed as `prepare` does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.inputs.frames import Frames
from wavenet_pl.shards.format import Entry, ShardWriter
from wavenet_pl.shards.index import Index, save_index
from wavenet_pl.shards.keys import part_key
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.shards.split import Split

SAMPLE_RATE = 8_000


def make_audio(frames: int, sample_rate: int = SAMPLE_RATE, seed: int = 0) -> npt.NDArray[np.int16]:
    """(frames,): a voice-like sum of harmonics that swells and fades, with some noise; no two seeds alike."""
    random = np.random.Generator(np.random.Philox(seed))
    seconds = np.arange(frames) / sample_rate
    pitch = random.uniform(80, 250) * (1 + 0.05 * np.sin(2 * np.pi * random.uniform(2, 6) * seconds))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voice = sum(random.uniform(0.2, 1) / n * np.sin(n * phase + random.uniform(0, 6)) for n in range(1, 7))
    swell = 0.25 + 0.75 * np.sin(np.pi * random.uniform(1, 4) * seconds) ** 2
    audio = 0.25 * swell * voice + 0.005 * random.standard_normal(frames)
    return np.round(np.clip(audio, -0.99, 0.99) * 32767).astype(np.int16)


def spoil(shards: Path, shard: str) -> None:
    """Damages the audio of the first recording of a shard such as ``val/shard-000001.tar``."""
    path = shards / shard
    content = bytearray(path.read_bytes())
    content[2_000:2_400] = bytes(400)
    path.write_bytes(content)


def write_shard_set(
    folder: str | os.PathLike[str],
    *,
    train: int = 8,
    val: int = 2,
    test: int = 0,
    frames: int | Sequence[int] = (4_000, 7_000, 2_500, 5_501),
    sample_rate: int = SAMPLE_RATE,
    recordings_per_shard: int = 4,
    speakers: Sequence[str] = ("anna", "ben"),
    tags: Sequence[str] = (),
    tables: Mapping[str, Sequence[str]] = MappingProxyType({}),
    frames_beside: Sequence[Frames] = (),
    seed: int = 0,
    parts: int = 1,
) -> Path:
    """A whole set: shards in a folder per split, and their index.

    Args:
        folder: where; made if it is not there.
        train: recordings in this split; `val` and `test` alike, 0 leaves a split out.
        frames: length of every recording in samples, or lengths that the recordings take in turn.
        sample_rate: of all recordings, in Hz.
        recordings_per_shard: the last shard of a split may have fewer.
        speakers: taken in turn; empty for recordings without a speaker.
        tags: one for each recording, in turn; empty for none.
        tables: of the user's own: table -> names, taken in turn.
        frames_beside: of every recording: `make_frames` of the same seed as its audio.
        parts: so many recordings in a row are parts of one source.
        seed: of the audio. Recording n of a set, counted over train, val and test in this order, has
            ``make_audio(frames, sample_rate, 1000 * seed + n)`` and the key ``rec-`` and n in five digits, or that of
            a part.

    Returns:
        The folder.
    """
    folder = Path(folder)
    lengths = [frames] if isinstance(frames, int) else list(frames)
    named = {"speaker": speakers, "tags": tags, **tables}
    labels = Labels(
        {table: tuple(sorted(set(names))) for table, names in sorted(named.items()) if names},
        {each.name: each.spec for each in frames_beside},
    )
    splits: dict[str, tuple[Shard, ...]] = {}
    number = 0
    for split, count in (("train", train), ("val", val), ("test", test)):
        entries = []
        for _ in range(count):
            metadata: dict[str, object] = {"source": f"take-{number}.wav", "start": 0}
            if speakers:
                metadata["speaker"] = speakers[number % len(speakers)]
            if tags:
                metadata["tags"] = [tags[number % len(tags)]]
            audio = make_audio(lengths[number % len(lengths)], sample_rate, 1000 * seed + number)
            for table, column in tables.items():
                metadata[table] = column[number % len(column)]
            stored = {each.name: make_frames(each, audio, 1000 * seed + number) for each in frames_beside}
            entries.append(
                Entry(
                    key=part_key(f"rec-{number // parts:05d}", number % parts, parts),
                    audio=audio,
                    sample_rate=sample_rate,
                    metadata=metadata,
                    arrays=stored,
                )
            )
            number += 1
        pieces = [entries[at : at + recordings_per_shard] for at in range(0, count, recordings_per_shard)]
        shards = [
            _write_shard(folder, f"{split}/shard-{at:06d}.tar", piece, labels)
            for at, piece in enumerate(pieces)
        ]
        if shards:
            splits[split] = tuple(shards)
    save_index(Index(sample_rate=sample_rate, splits=splits, labels=labels), folder)
    return folder


def with_rows(split: Split, rows_of: Callable[[Recording], Mapping[str, tuple[int, ...]]]) -> Split:
    """The same recordings with other rows of tables."""
    files = {shard.name: (shard.bytes, shard.sha256) for shard in split.shards}
    shards = [
        Shard(name, *files[name], recordings=(replace(recording, rows=rows_of(recording)),))
        for _, name, recording in split.stored
    ]
    return Split(shards, split.stored[0].storage, split.sample_rate, split.labels)


def make_frames(spec: Frames, audio: npt.NDArray[np.int16], seed: int = 0) -> npt.NDArray[Any]:
    """Frames (N, F) that say something about the audio, how loud it is, in the first feature; the rest is noise."""
    number = spec.num_frames(len(audio))
    padded = np.pad(audio, (0, number * spec.hop_length - len(audio))).reshape(number, spec.hop_length)
    random = np.random.Generator(np.random.Philox(seed))
    frames = random.random((number, spec.num_features))
    frames[:, 0] = np.minimum(np.abs(padded.astype(np.float64)).mean(axis=1) / 16384, 1)
    return (frames * (127 if spec.dtype == "uint8" else 1)).astype(spec.dtype)


def _write_shard(folder: Path, name: str, entries: Sequence[Entry], labels: Labels) -> Shard:
    with ShardWriter(folder / name, labels.frames) as writer:
        for entry in entries:
            writer.write(entry)
    recordings = tuple(
        Recording(key=entry.key, frames=len(entry.audio), rows=_rows(entry.metadata, labels), members=members)
        for entry, members in zip(entries, writer.written.members, strict=True)
    )
    return Shard(name, writer.written.bytes, writer.written.sha256, recordings)


def _rows(metadata: Mapping[str, Any], labels: Labels) -> dict[str, tuple[int, ...]]:
    found = {}
    for table, names in labels.tables.items():
        value = metadata.get(table, ())
        found[table] = tuple(names.index(each) for each in ([value] if isinstance(value, str) else value))
    return {table: rows for table, rows in found.items() if rows}
