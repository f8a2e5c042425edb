"""The corpus `shards`: any webdataset of audio, whatever wrote it and whatever is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_prep.assembly import Origins, resolve, source_of, with_files, with_origins
from data_prep.files import FileRule, Files, walk
from data_prep.folder import Corpus
from data_prep.layout import AS_IT_IS, Layout
from data_prep.sources import File, printable
from data_prep.table import NOTHING, Columns, Row, Wanted, check_asked, describe_columns
from wavenet_pl.errors import BadDataError, UserError
from wavenet_pl.files.foreign import open_file
from wavenet_pl.shards.format import AUDIO_EXTENSIONS, read_metadata
from wavenet_pl.shards.members import Fault, read_members

_TAR, _COMPRESSED = ".tar", (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_TEXT = ".txt"
_SAYING = (_TEXT, ".json")
_MAX_TEXT = 2**24
_OURS = ("frames", "sample_rate", "source", "start")
"""What the JSON says of a recording as it was stored, in shards that `prepare` wrote."""


@dataclass
class _Members:
    """What lies in all shards, before names are given."""

    files: list[tuple[str, File, bytes]] = field(default_factory=list)
    """(shard, member by its path in the shard, content of what says something of a recording)."""
    faults: list[tuple[str, Fault]] = field(default_factory=list)

    def named(self) -> Iterator[tuple[str, str, File, bytes]]:
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
    members = _read_all(_find(folder, leave, notes))
    files = Files(rules=frames or {}, layout=replace(layout, metadata=()))
    cells: dict[str, dict[str, str]] = {}
    groups: dict[str, str] = {}
    texts: dict[str, str] = {}
    origins = Origins()
    problems: dict[str, str] = {}
    broken: list[str] = []
    for name, shard, file, content in members.named():
        stem, extension = os.path.splitext(name)
        if extension.lower() in _SAYING:
            try:
                if extension.lower() == _TEXT:
                    texts[stem] = content.decode("utf-8", "replace").strip()
                else:
                    cells[stem], groups[stem] = _known(content)
            except BadDataError as error:
                broken.append(f"{shard}, {file.name} {error}")
        elif name in files.audio:
            files.leave("twice in a shard")
        else:
            files.add(replace(file, name=name))
            origins.speaker[name], origins.split[name] = file.name, f"{shard}/{file.name}"
    for shard, fault in members.faults:
        if fault.name.lower().endswith(AUDIO_EXTENSIONS) and fault.name not in files.audio:
            problems[fault.name] = f"{fault.description}, in {shard}"
            origins.split[fault.name] = f"{shard}/{fault.name}"
    notes += _faults(members.faults) + _counted("JSON or texts that cannot be read", broken)
    files.check(f"SRC {folder}")
    columns, wanted, speaker_of = _understand(cells.values(), layout, wanted, folder, origins)
    check_asked([columns], wanted, f"the JSON in {folder}")
    notes += describe_columns([columns])
    several, saying = _several(files.audio), {*cells, *texts}
    sources = []
    for name in {**files.audio, **problems}:
        stem = next((each for each in (os.path.splitext(name)[0], _key(name)) if each in saying), "")
        row = columns.row(cells.get(stem, {}), f"SRC {folder}, {name}", "") if stem in cells else Row()
        text = row.text or texts.get(stem) or None
        group = groups.get(stem, "") or several.get(_key(name), "")
        source = source_of(name, replace(row, text=text, group=group), files.audio.get(name))
        sources.append(replace(source, problem=problems.get(name, "")))
    sources = with_origins(sources, layout, speaker_of, notes, origins)
    return Corpus(sources=tuple(with_files(sources, files)), left_alone=files.left_alone, notes=tuple(notes))


def _find(folder: Path, leave: Path | None, notes: list[str]) -> list[File]:
    """The shards, sorted by their names."""
    if folder.is_file():
        return [File(name=folder.name, size=folder.stat().st_size, path=os.fspath(folder))]
    if not folder.is_dir():
        raise UserError(
            f"SRC {folder} is no folder, expected one with shards *.tar, or a shard; check the path"
        )
    files = list(walk(folder, leave))
    shards = sorted((file for file in files if file.name.endswith(_TAR)), key=lambda file: file.name)
    compressed = sorted(file.name for file in files if file.name.lower().endswith(_COMPRESSED))
    if not shards:
        instead = f", but {compressed[0]}: unpack such to plain .tar" if compressed else "; check the path"
        raise UserError(f"SRC {folder} has no shards *.tar{instead}")
    notes += _counted("shards that are compressed, which are not read: unpack them", compressed)
    return shards


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
                        content = b""
                        if name.lower().endswith(_SAYING):
                            file.seek(item.offset)
                            content = file.read(min(item.size, _MAX_TEXT))
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


def _several(names: Iterable[str]) -> dict[str, str]:
    """The keys of recordings that are there as several files, which must not be trained and tested on."""
    counts: dict[str, int] = {}
    for name in names:
        counts[_key(name)] = counts.get(_key(name), 0) + 1
    return {key: key for key, count in counts.items() if count > 1}


def _known(data: bytes) -> tuple[dict[str, str], str]:
    """What JSON says of its recording, and the source whose part that is, if it says so.

    Raises:
        BadDataError: it cannot be read.
    """
    metadata = read_metadata(data)
    source = metadata.get("source") if "start" in metadata else None
    known = {name: text for name, value in metadata.items() if (text := _text(value)) and name not in _OURS}
    return known, source if isinstance(source, str) else ""


def _text(value: Any) -> str:
    """A value of JSON as the cell of a table has it; empty for what no cell could say."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ";".join(value)
    plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return str(value).encode("utf-8", "replace").decode() if plain else ""


def _understand(
    cells: Iterable[Mapping[str, str]], layout: Layout, wanted: Wanted, folder: Path, origins: Origins
) -> tuple[Columns, Wanted, Any]:
    """The fields of the JSON as columns. What is beside a recording is called like it: none of them names files."""
    wanted, speaker_of = resolve(layout, wanted, folder, list(origins.speaker.values()))
    renames = {"file": ("", None), "midi": ("", None), **wanted.renames}
    wanted = replace(wanted, renames=renames)
    return Columns(dict.fromkeys(name for each in cells for name in each), wanted), wanted, speaker_of


def _faults(faults: Iterable[tuple[str, Fault]]) -> list[str]:
    return _counted(
        "places in shards that are damaged", [f"{shard}: {each.description}" for shard, each in faults]
    )


def _counted(what: str, examples: list[str]) -> list[str]:
    return [f"{len(examples)} {what}, such as {examples[0]}"] if examples else []
