"""Files that mean harm: a builder writes some below a folder, and returns the command that their victim types."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from tests.audio.files import claiming
from tests.shards.damages import audio_bytes, metadata_bytes, write_tar
from tests.shards.indexes import as_text, change_columns
from tests.shards.made import write_shard_set
from tests.small import SETTINGS, small_model
from wavenet_pl.config.tree import from_plain, to_yaml
from wavenet_pl.model import Model
from wavenet_pl.runs.weights import encode_weights
from wavenet_pl.shards.format import Span
from wavenet_pl.shards.index import INDEX_NAME, Index, load_index, save_index
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import checkpoint_of

ESCAPE = "\x1b]0;owned\x07\x1b[2K"
"""Sets the title of a terminal and wipes a line."""


@dataclass(frozen=True)
class Scene:
    """Where a case plays."""

    folder: Path
    """For the hostile files."""
    canary: Path
    """What a payload would make."""
    outside: Path
    """A folder with one file, which must stay as it is."""

    @property
    def payload(self) -> Payload:
        """An object that makes the canary where it is unpickled."""
        return Payload(self.canary)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.canary),)


Builder = Callable[[Scene], list[str]]


# --- checkpoints ---


def checkpoint_content(**changes: Any) -> dict[str, Any]:
    """A sound checkpoint of a small model; changes go into what is ours in it."""
    torch.manual_seed(0)
    module = small_model()
    content = checkpoint_of(module, 3)
    content["wavenet_pl"].update(changes)
    return content


def generate(path: Path) -> list[str]:
    return ["generate", str(path), "--out", "clips", "--seconds", "0.01"]


def checkpoint(content: Callable[[Scene], Any], **options: Any) -> Builder:
    """A file that torch.save writes."""

    def build(place: Scene) -> list[str]:
        path = place.folder / "step-000000003.ckpt"
        torch.save(content(place), path, **options)
        return generate(path)

    return build


def configured(change: Callable[[dict[str, Any]], None]) -> Builder:
    """A sound checkpoint whose config was changed."""

    def content(place: Scene) -> dict[str, Any]:
        whole = checkpoint_content()
        change(whole["wavenet_pl"]["config"])
        return whole

    return checkpoint(content)


def weighted(change: Callable[[dict[str, Any]], Any]) -> Builder:
    """A sound checkpoint whose weights were changed."""

    def content(place: Scene) -> dict[str, Any]:
        whole = checkpoint_content()
        change(whole["state_dict"])
        return whole

    return checkpoint(content)


def raw_pickle(place: Scene) -> list[str]:
    path = place.folder / "model.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": place.payload}))
    return generate(path)


def compressed_checkpoint(place: Scene) -> list[str]:
    """A few megabytes that would unfold to 4 GiB: blocks of zeros, each packed by itself, again and again."""
    path, sound = place.folder / "bomb.ckpt", io.BytesIO()
    torch.save(checkpoint_content(), sound)
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    with zipfile.ZipFile(sound) as whole, zipfile.ZipFile(path, "w") as archive:
        for member in whole.infolist():
            if not member.filename.endswith("/data/0"):
                archive.writestr(member, whole.read(member))
                continue
            archive.writestr(member.filename, block * 256 + packer.flush())
            bomb = archive.infolist()[-1]
            bomb.compress_type, bomb.file_size = zipfile.ZIP_DEFLATED, 2**32
    return generate(path)


def claiming_storage(place: Scene) -> list[str]:
    """The pickle says that a storage of a few bytes has 2 ** 40 numbers."""
    path, sound = place.folder / "claim.ckpt", io.BytesIO()
    content = checkpoint_content()
    content["state_dict"] = {"w": torch.ones(77)}
    torch.save(content, sound)
    with zipfile.ZipFile(sound) as whole, zipfile.ZipFile(path, "w") as archive:
        for member in whole.infolist():
            data = whole.read(member)
            if member.filename.endswith("data.pkl"):
                data = data.replace(b"K\x4d", b"\x8a\x06" + struct.pack("<q", 2**40)[:6])
            archive.writestr(member.filename, data)
    return generate(path)


def giant_network(config: dict[str, Any]) -> None:
    config["model"]["network"].update(residual_channels=2**20, skip_channels=2**20)


def giant_from_one_number(place: Scene) -> list[str]:
    """Every weight has the shape that the giant config asks for, and one number in the file."""
    content = checkpoint_content()
    config = content["wavenet_pl"]["config"]
    giant_network(config)
    with torch.device("meta"):
        wanted = Model(from_plain(config), sample_rate=8_000).state_dict()
    content["state_dict"] = {name: torch.zeros(1).expand(meta.shape) for name, meta in wanted.items()}
    return checkpoint(lambda _: content)(place)


def many_layers(config: dict[str, Any]) -> None:
    config["model"]["network"].update(stacks=1000, layers_per_stack=24)
    config["data"]["crop_samples"] = 2**40


def alias_bomb(config: dict[str, Any]) -> None:
    """Ten thousand million values in a hundred bytes: each list holds the one before ten times."""
    values: list[Any] = ["x"] * 10
    for _ in range(9):
        values = [values] * 10
    config["trainer"]["callbacks"] = values


def deep(config: dict[str, Any]) -> None:
    values: list[Any] = []
    for _ in range(100):
        values = [values]
    config["trainer"]["x"] = values


def special(kind: str) -> Builder:
    """Something other than a file in the place of a checkpoint."""

    def build(place: Scene) -> list[str]:
        path = place.folder / "step-000000003.ckpt"
        make_special(path, kind, place)
        return generate(path)

    return build


def make_special(path: Path, kind: str, place: Scene) -> None:
    """A pipe, a link to a device that never ends, a sparse file of a terabyte, a link out, or a folder."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(2**40)
    elif kind == "link":
        path.symlink_to(next(place.outside.iterdir()))
    else:
        path.mkdir()


# --- runs ---


def run_with(**files: Callable[[Path, Scene], None]) -> Builder:
    """A sound run in which some files were replaced."""

    def build(place: Scene) -> list[str]:
        run = place.folder / "run"
        path = run / "checkpoints" / "step-000000003.ckpt"
        path.parent.mkdir(parents=True)
        AtomicCheckpointIO().save_checkpoint(checkpoint_content(), path)
        for name, write in files.items():
            target = {"metrics": run / "metrics.jsonl", "checksum": path.with_name(path.name + ".sha256"),
                      "checkpoint": path}[name]  # fmt: skip
            target.unlink(missing_ok=True)
            write(target, place)
        return generate(run)

    return build


def linked_run(place: Scene) -> list[str]:
    """A sound run somewhere else, by a link."""
    command = run_with()(place)
    link = place.folder / "link"
    link.symlink_to(command[1])
    return generate(link)


def lines(*rows: str) -> Callable[[Path, Scene], None]:
    return lambda path, place: path.write_text("".join(row + "\n" for row in rows)) and None


def as_special(kind: str) -> Callable[[Path, Scene], None]:
    return lambda path, place: make_special(path, kind, place)


# --- exports ---


def export(change: Callable[[Path, Scene], None]) -> Builder:
    """A sound export, changed."""

    def build(place: Scene) -> list[str]:
        torch.manual_seed(0)
        module = small_model()
        folder = place.folder / "export"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(encode_weights(module, 3))
        (folder / "config.yaml").write_text(to_yaml(module.config))
        change(folder, place)
        return generate(folder)

    return build


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and tensors of a safetensors file."""
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(change: Callable[[dict[str, Any]], Any]) -> Builder:
    """The header of the weights, changed."""

    def edit(folder: Path, place: Scene) -> None:
        path = folder / "model.safetensors"
        header, tensors = header_of(path.read_bytes())
        header = change(header) or header
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)

    return export(edit)


def with_origin(**changes: Any) -> Builder:
    """What the header says of this project, changed; None leaves it out."""

    def edit(header: dict[str, Any]) -> None:
        said = {**json.loads(header["__metadata__"]["wavenet_pl"]), **changes}
        kept = {name: value for name, value in said.items() if value is not None}
        header["__metadata__"]["wavenet_pl"] = json.dumps(kept)

    return with_header(edit)


def with_origin_text(text: str) -> Builder:
    def edit(header: dict[str, Any]) -> None:
        header["__metadata__"]["wavenet_pl"] = text

    return with_header(edit)


def with_tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Builder:
    """The tensors, changed, in a file that is sound in itself."""

    def edit(folder: Path, place: Scene) -> None:
        path = folder / "model.safetensors"
        data = path.read_bytes()
        tensors = load_safetensors(data)
        change(tensors)
        path.write_bytes(save_safetensors(tensors, header_of(data)[0]["__metadata__"]))

    return export(edit)


def with_weights_file(write: Callable[[Path, Scene], Any]) -> Builder:
    def edit(folder: Path, place: Scene) -> None:
        (folder / "model.safetensors").unlink()
        write(folder / "model.safetensors", place)

    return export(edit)


def sparse_terabyte(path: Path, place: Scene) -> None:
    """A header that fits a file of a terabyte, of which nothing is on the disk."""
    size = 2**40
    text = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)


def with_config(write: Callable[[Path, Scene], Any]) -> Builder:
    def edit(folder: Path, place: Scene) -> None:
        (folder / "config.yaml").unlink()
        write(folder / "config.yaml", place)

    return export(edit)


# --- configs ---


def train_config(content: str | bytes | Callable[[Path, Scene], Any]) -> Builder:
    """A YAML file that somebody sent."""

    def build(place: Scene) -> list[str]:
        path = place.folder / "config.yaml"
        if callable(content):
            content(path, place)
        else:
            text = content.encode() if isinstance(content, str) else content
            path.write_bytes(text.replace(b"CANARY", str(place.canary).encode()))
        return ["train", str(path), "trainer.max_steps=1"]

    return build


# --- shard sets ---


def train_on(folder: Path) -> list[str]:
    return ["train", f"data.path={folder}", *SETTINGS, "trainer.max_steps=1", "--dry-run"]


def index_tree(change: Callable[[dict[str, Any]], Any], *settings: str) -> Builder:
    """The text of a sound index of an earlier version, changed, or other text in its place; and more settings."""

    def build(place: Scene) -> list[str]:
        folder = write_shard_set(place.folder / "set", train=2, val=1, frames=2_000)
        path = as_text(folder)
        tree = json.loads(path.read_text())
        changed = change(tree)
        path.write_text(changed if isinstance(changed, str) else json.dumps(tree))
        return [*train_on(folder), *settings]

    return build


def columns(change: Callable[[dict[str, str], Any], object]) -> Builder:
    """A sound index, changed and sealed anew; see `change_columns`."""

    def build(place: Scene) -> list[str]:
        folder = write_shard_set(place.folder / "set", train=2, val=1, frames=2_000)
        change_columns(folder, change)
        return train_on(folder)

    return build


def column(name: str, *numbers: int) -> Builder:
    """Other numbers at the beginning of a column of the recordings to train on."""

    def change(facts: dict[str, str], arrays: Any) -> None:
        wide = arrays[f"train/{name}"].astype(np.uint8 if name in ("keys", "shards/names") else np.uint64)
        wide[: len(numbers)] = numbers
        arrays[f"train/{name}"] = wide

    return columns(change)


def shard_row(tree: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = tree["splits"]["train"][0]
    return row


def recording_row(tree: dict[str, Any]) -> list[Any]:
    row: list[Any] = shard_row(tree)["recordings"][0]
    return row


def with_frames(value: Any) -> Builder:
    return index_tree(lambda tree: recording_row(tree).__setitem__(1, value))


def with_offset(position: int, value: Any) -> Builder:
    return index_tree(lambda tree: recording_row(tree)[3]["flac"].__setitem__(position, value))


def with_rows(value: Any) -> Builder:
    """What a recording says of tables."""
    return index_tree(lambda tree: recording_row(tree).__setitem__(2, value))


def with_labels(**changes: Any) -> Builder:
    """The tables or frames of an index, more than there are."""

    def change(tree: dict[str, Any]) -> None:
        for name, value in changes.items():
            tree[name] = {**tree[name], **value} if isinstance(value, dict) else value

    return index_tree(change)


def signed_index(change: Callable[[Index], Index]) -> Builder:
    """An index with a fingerprint that is right: whoever means harm can compute it."""

    def build(place: Scene) -> list[str]:
        folder = write_shard_set(place.folder / "set", train=2, val=1, frames=2_000)
        save_index(change(load_index(folder)), folder)
        return train_on(folder)

    return build


def giant_frames(index: Index) -> Index:
    """Recordings of 10 ** 17 samples each."""

    def grow(shards: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            replace(shard, recordings=tuple(replace(row, frames=10**17) for row in shard.recordings))
            for shard in shards
        )

    return replace(index, splits={split: grow(shards) for split, shards in index.splits.items()})


def special_in_set(name: str, kind: str) -> Builder:
    """Something other than a file in a shard set."""

    def build(place: Scene) -> list[str]:
        folder = write_shard_set(place.folder / "set", train=2, val=1, frames=2_000)
        (folder / name).unlink()
        make_special(folder / name, kind, place)
        return train_on(folder) if name == INDEX_NAME else ["index", str(folder)]

    return build


# --- shards ---


def shard(
    *members: tuple[str | tarfile.TarInfo, bytes], format: int = tarfile.USTAR_FORMAT, tables: str = ""
) -> Builder:
    """A shard with a sound recording, then these members; and tables that are asked for."""

    def build(place: Scene) -> list[str]:
        sound = [("sound.wav", audio_bytes()), ("sound.json", metadata_bytes())]
        write_tar(place.folder / "set" / "0.tar", [*sound, *members], format)
        return ["index", str(place.folder / "set"), *(["--tables", tables] if tables else [])]

    return build


PICKLE = b"cos\nmkdir\n(S'canary'\ntR."
"""Makes a folder where it is unpickled."""
CODE_MEMBERS = (
    ("code.py", b"import os; os.mkdir('canary')"),
    *((f"code.{extension}", PICKLE) for extension in ("pkl", "pickle", "pyd", "pth")),
    ("code.wav", audio_bytes(seed=1)),
    ("code.json", metadata_bytes()),
)
"""A recording with more beside it than belongs there."""


def odd_member(kind: bytes, name: str = "rec.flac", link: str = "", size: int = 0) -> tarfile.TarInfo:
    """A header of any type."""
    header = tarfile.TarInfo(name)
    header.type, header.linkname, header.size = kind, link, size
    return header


def shard_bytes(content: bytes) -> Builder:
    """A shard of raw bytes."""

    def build(place: Scene) -> list[str]:
        (place.folder / "set").mkdir()
        (place.folder / "set" / "0.tar").write_bytes(content)
        return ["index", str(place.folder / "set")]

    return build


def pax(records: Mapping[str, str]) -> Builder:
    """A recording whose extended header says more of it."""
    header = tarfile.TarInfo("rec.wav")
    content = audio_bytes()
    header.size, header.pax_headers = len(content), dict(records)
    return shard((header, content), format=tarfile.PAX_FORMAT)


def giant_header(size: int) -> bytes:
    """A header whose size field claims any number of bytes, in the binary form that GNU tar knows."""
    header = tarfile.TarInfo("rec.flac")
    header.size = size
    return header.tobuf(tarfile.GNU_FORMAT)


def flac_of_hours(hours: int) -> bytes:
    """A sound FLAC file of a second whose header says hours."""
    return claiming(audio_bytes(8_000, "flac"), hours * 3600 * 8_000)


def wav_of_one_hertz() -> bytes:
    """A WAV header that says 1 Hz, which makes hours of a second."""
    data = bytearray(audio_bytes(8_000))
    data[24:28] = struct.pack("<I", 1)
    return bytes(data)


def nested_json(depth: int) -> bytes:
    return b'{"speaker": ' + b"[" * depth + b"]" * depth + b"}"


# --- corpora ---


def corpus(table: str | Callable[[Path, Scene], Any] | None = None, **files: Any) -> Builder:
    """A folder for `prepare`: sound recordings, metadata.csv, and more files by name (bytes, or a function)."""

    def build(place: Scene) -> list[str]:
        folder = place.folder / "corpus"
        folder.mkdir()
        for number in range(4):
            (folder / f"sound-{number}.wav").write_bytes(audio_bytes(16_000, seed=number, rate=16_000))
        if isinstance(table, str):
            (folder / "metadata.csv").write_text(table)
        elif table is not None:
            table(folder / "metadata.csv", place)
        for name, content in files.items():
            path = folder / name
            content(path, place) if callable(content) else path.write_bytes(content)
        return ["prepare", "folder", str(folder), str(place.folder / "out"), "--jobs", "1"]

    return build


def framed(array: Callable[[Path, Scene], Any]) -> Builder:
    """A corpus with an array of the user's own beside its first recording."""

    def build(place: Scene) -> list[str]:
        command = corpus(**{"sound-0.f0.npy": array})(place)
        return [*command, "--frames", "f0:hop=80"]

    return build


def npy(header: str, content: bytes = b"") -> Callable[[Path, Scene], Any]:
    """A .npy file with any text as its header."""
    text = header.encode()
    head = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text))
    return lambda path, place: path.write_bytes(head + text + content)


def pickled_array(path: Path, place: Scene) -> None:
    """An array of objects, which NumPy pickles."""
    np.save(path, np.array([[place.payload]] * 9, dtype=object), allow_pickle=True)


ODD_FILES: dict[str, Any] = {
    "pipe.wav": lambda path, place: make_special(path, "pipe", place),
    "device.wav": lambda path, place: make_special(path, "device", place),
    "terabyte.wav": lambda path, place: make_special(path, "sparse", place),
    "passwords.wav": lambda path, place: make_special(path, "link", place),
    "loop": lambda path, place: path.symlink_to(path.parent),
    "hours.flac": flac_of_hours(200),
    "hertz.wav": wav_of_one_hertz(),
    "code.py": b"import os; os.mkdir('canary')",
    "packed.wav": b"\x1f\x8b\x08\0" + bytes(508),
    f"{ESCAPE}.wav": b"RIFF",
    f"{ESCAPE}.txt": b"",
}
"""Name -> content, or what makes it: pipes, bombs, and names that a terminal obeys."""


def training_on_hostile_shard(kind: str, place: Scene) -> list[str]:
    """The command that trains on a set whose index is sound, and whose shard is a pipe, a device or claims an hour."""
    folder = write_shard_set(place.folder / "set", train=2, val=1, frames=8_000)
    path = folder / "train" / "shard-000000.tar"
    command = ["train", f"data.path={folder}", *SETTINGS, "trainer.max_steps=3"]
    if kind != "hour":
        path.unlink()
        make_special(path, kind, place)
        return command
    bomb = {"flac": flac_of_hours(1), "json": metadata_bytes()}
    write_tar(path, [(f"rec.{extension}", content) for extension, content in bomb.items()])
    with tarfile.open(path) as tar:
        places = {
            member.name.split(".")[1]: Span(
                member.offset_data, member.size, zlib.crc32(bomb[member.name[4:]])
            )
            for member in tar
        }
    data = path.read_bytes()
    recording = Recording("rec", 3600 * 8_000, {}, places)
    shard = Shard("train/shard-000000.tar", len(data), hashlib.sha256(data).hexdigest(), (recording,))
    index = load_index(folder)
    save_index(replace(index, splits={**index.splits, "train": (shard,)}), folder)
    return command
