"""The corpus `shards`: any webdataset of audio, whatever wrote it and whatever is wrong with it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_prep.assembly import Origins, make_sources, resolve, with_files
from data_prep.columns import NOTHING, Columns, Row, Wanted, check_asked, describe_columns
from data_prep.files import FileRule, Files, modified, walk
from data_prep.folder import Corpus
from data_prep.layout import AS_IT_IS, Layout
from data_prep.sources import File, printable
from wavenet_pl.audio.formats import AUDIO_EXTENSIONS
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.foreign import open_file
from wavenet_pl.shards.format import read_metadata
from wavenet_pl.shards.members import Fault, read_members
from wavenet_pl.shards.scan import is_name
from wavenet_pl.shards.spool import Spool

_TAR, _COMPRESSED = ".tar", (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_TEXT = ".txt"
_DESCRIBING = (_TEXT, ".json")
_MAX_TEXT = 2**24
_OURS = ("frames", "sample_rate", "source", "start")
"""What the JSON says of a recording as it was stored, in shards that `prepare` wrote."""


@dataclass
class _Members:
    """What lies in all shards, before names are given."""

    files: list[tuple[str, File, bytes | None]] = field(default_factory=list)
    """(shard, member by its path in the shard, content where it says something of a recording)."""
    faults: list[tuple[str, Fault]] = field(default_factory=list)

    def named(self) -> Iterator[tuple[str, str, File, bytes | None]]:
        """(name, shard, member, content): a key that is in several shards has the shard before it."""
        shards: dict[str, set[str]] = {}
        for shard, file, _ in self.files:
            shards.setdefault(_key(file.name), set()).add(shard)
        for shard, file, content in self.files:
            alone = len(shards[_key(file.name)]) == 1
            yield file.name if alone else f"{shard.removesuffix(_TAR)}/{file.name}", shard, file, content


def read_shards(
    folder: Path,
    wanted: Wanted = NOTHING,
    layout: Layout = AS_IT_IS,
    frames: Mapping[str, FileRule] | None = None,
    leave: Path | None = None,
) -> Corpus:
    """Every audio member of the shards below a folder, with what the JSON and the text beside it say.

    Unless the layout says otherwise, the speaker is the JSON's or, where that says nothing, the folder in the shard
    that the member lies in; the split is the JSON's, or what names of shards and folders mean.

    Args:
        folder: of the shards, or one shard.
        wanted: fields of the JSON that are looked for, as columns of a table.
        layout: what the user says of the corpus.
        frames: what is made of a member beside each recording, which is called like it.
        leave: a folder that is not looked into: where the new shards go.

    Raises:
        UserError: there are no shards, no audio in them, or they contradict themselves.
    """
    notes: list[str] = []
    shards, read_from = _find(folder, leave, notes)
    members = _read_all(shards)
    files = Files(rules=frames or {}, layout=replace(layout, metadata=()))
    described = _Described()
    origins = Origins()
    for name, shard, file, content in members.named():
        if name.lower().endswith(_DESCRIBING):
            described.add(name, content)
        elif name in files.audio:
            files.leave("twice in a shard")
        else:
            files.add(replace(file, name=name))
            origins.speaker[name], origins.split[name] = file.name, f"{shard}/{file.name}"
    files.check(f"SRC {folder}")
    wanted, speaker_of = resolve(layout, wanted, folder, list(origins.speaker.values()))
    # What lies beside a recording is called like it: no field names a file.
    wanted = replace(wanted, renames={"file": ("", None), "midi": ("", None), **wanted.renames})
    columns = Columns(described.fields(), wanted)
    check_asked([columns], wanted, f"the JSON in {folder}")
    counts = Counter(map(_key, files.audio))
    recordings: dict[str, tuple[Row, File | None]] = {}
    for name, file in files.audio.items():
        row = described.row(name, columns, f"SRC {folder}, {name}")
        if not row.group and counts[_key(name)] > 1:  # the same recording in several files
            row = replace(row, group=_key(name))
        recordings[name] = row, file
    for shard, fault in members.faults:
        if fault.name.lower().endswith(AUDIO_EXTENSIONS):
            name = f"{shard.removesuffix(_TAR)}/{fault.name}" if fault.name in files.audio else fault.name
            origins.split[name] = f"{shard}/{fault.name}"
            recordings[name] = Row(problem=f"{fault.description}, in {shard}"), None
    notes += describe_columns([columns])
    notes += _counted("JSON or texts that cannot be read", described.broken)
    damaged = [f"{shard}: {fault.description}" for shard, fault in members.faults]
    notes += _counted("places in shards that are damaged", damaged)
    sources = make_sources(recordings, layout, speaker_of, notes, origins)
    return Corpus(
        sources=Spool(with_files(sources, files)), left_alone=files.left_alone, notes=tuple(notes),
        read_from=read_from,
    )  # fmt: skip


@dataclass
class _Described:
    """What JSON and texts say of recordings, by their names without extension."""

    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def add(self, name: str, content: bytes | None) -> None:
        """Read a member; None is one that is too large."""
        stem, extension = os.path.splitext(name)
        if content is None:
            self.broken.append(f"{name} has more than {_MAX_TEXT} bytes")
        elif extension.lower() == _TEXT:
            self.texts[stem] = content.decode("utf-8", "replace").strip()
        else:
            try:
                metadata = read_metadata(content)
            except BadDataError as error:
                self.broken.append(f"{name} {error}")
                return
            self.cells[stem] = {
                key: text for key, value in metadata.items() if (text := _cell(value)) and key not in _OURS
            }
            source = metadata.get("source") if "start" in metadata else None
            self.groups[stem] = source if is_name(source) else ""

    def fields(self) -> list[str]:
        """All fields of the JSON."""
        return list(dict.fromkeys(field for cells in self.cells.values() for field in cells))

    def row(self, name: str, columns: Columns, source: str) -> Row:
        """What is said of a recording, by members that are called like it or like its key."""
        stems = (os.path.splitext(name)[0], _key(name))
        stem = next((stem for stem in stems if stem in self.cells or stem in self.texts), "")
        row = columns.row(self.cells.get(stem, {}), source, "")
        return replace(row, text=row.text or self.texts.get(stem) or None, group=self.groups.get(stem, ""))


def _find(folder: Path, leave: Path | None, notes: list[str]) -> tuple[list[File], dict[str, int]]:
    """The shards, sorted by their names; and when these, and the folders they lie in, were changed last."""
    read_from: dict[str, int] = {}
    if folder.is_file():
        shard = File(name=folder.name, size=folder.stat().st_size, path=os.fspath(folder))
        return [shard], {os.path.abspath(folder): modified(folder)}
    if not folder.is_dir():
        raise UserError(
            f"SRC {folder} is no folder, expected one with shards *.tar, or a shard; check the path"
        )
    files = list(walk(folder, leave, read_from))
    shards = sorted((file for file in files if file.name.endswith(_TAR)), key=lambda file: file.name)
    compressed = sorted(file.name for file in files if file.name.lower().endswith(_COMPRESSED))
    if not shards:
        instead = f", but {compressed[0]}: unpack such to plain .tar" if compressed else "; check the path"
        raise UserError(f"SRC {folder} has no shards *.tar{instead}")
    notes += _counted("shards that are compressed, which are not read: unpack them", compressed)
    return shards, read_from | {shard.name: modified(shard.path) for shard in shards}


def _read_all(shards: Iterable[File]) -> _Members:
    members = _Members()
    for shard in shards:
        try:
            with open_file(shard.path) as file:
                for item in read_members(file, os.fstat(file.fileno()).st_size):
                    if isinstance(item, Fault):
                        members.faults.append((shard.name, replace(item, name=printable(item.name))))
                    else:
                        name = printable(item.name)
                        member = File(name=name, size=item.size, path=shard.path, offset=item.offset)
                        content = None
                        if name.lower().endswith(_DESCRIBING) and item.size <= _MAX_TEXT:
                            file.seek(item.offset)
                            content = file.read(item.size)
                        members.files.append((shard.name, member, content))
        except OSError as error:
            raise UserError(
                f"{shard.path} cannot be read ({error.strerror or error}), expected a shard; mend that, or remove it"
            ) from None
    return members


def _key(name: str) -> str:
    """What tar readers put the members of a recording together by: the name up to its first dot."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _cell(value: Any) -> str:
    """A value of JSON as the cell of a table has it; empty for what no cell could say."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ";".join(value)
    plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return str(value).encode("utf-8", "replace").decode() if plain else ""


def _counted(what: str, examples: list[str]) -> list[str]:
    return [f"{len(examples)} {what}, such as {examples[0]}"] if examples else []
