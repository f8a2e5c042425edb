"""A delta and its base are the adapted model; a delta and anything else are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

import wavenet_pl
from tests.adaptation.voices import NEW, make_base, new_config, write_base_set, write_new_set
from wavenet_pl.adaptation.base import Base
from wavenet_pl.adaptation.merge import merge
from wavenet_pl.errors import UserError
from wavenet_pl.model import Model
from wavenet_pl.runs.delta import BASE_NAME, DELTA_NAME, SPEAKER_TABLE, Delta, encode_delta, model_hash
from wavenet_pl.training.checkpoint_io import AtomicCheckpointIO
from wavenet_pl.training.module import checkpoint_of


def save_model(module: Model, path: Path) -> Path:
    """As a checkpoint."""
    checkpoint = checkpoint_of(module, 5)
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base.ckpt, other.ckpt, and deltas on the first: row and all."""
    folder = tmp_path_factory.mktemp("deltas")
    shards, new = write_base_set(folder / "set"), write_new_set(folder / "new")
    base = make_base(shards)
    save_model(base.model, folder / "base.ckpt")
    other = make_base(shards)
    with torch.no_grad():
        other.model.network.output.weight[0, 0, 0] += 1e-3
    save_model(other.model, folder / "other.ckpt")
    for method in ("embedding", "all"):
        adapted = adapt(base, new, method)
        write_delta(base, adapted, folder / method / DELTA_NAME, folder / "base.ckpt", method)
        save_model(adapted, folder / f"{method}.ckpt")
    return folder


def adapt(base: Base, new: Path, method: str) -> Model:
    module = base.with_row(new_config(new), "e" * 64, NEW, 1).eval()
    with torch.no_grad():
        module.get_parameter(SPEAKER_TABLE)[3] += 0.5
        if method == "all":
            for parameter in module.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
    return module


def write_delta(base: Base, adapted: Model, path: Path, where: Path, method: str) -> None:
    said = Delta(
        base=str(where), base_hash=base.hash, labels=adapted.labels.to_plain(),
        index_fingerprint=adapted.index_fingerprint, method=method, step=7,
    )  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_delta(base.model, adapted, said))


def same(one: Model, other: Model) -> bool:
    return model_hash(one) == model_hash(other) and one.labels == other.labels


@pytest.mark.parametrize("method", ["embedding", "all"])
@pytest.mark.parametrize("place", ["folder", "file"])
def test_a_delta_on_its_base_is_the_adapted_model(folder: Path, method: str, place: str) -> None:
    path = folder / method if place == "folder" else folder / method / DELTA_NAME
    loaded, wanted = wavenet_pl.load(path), wavenet_pl.load(folder / f"{method}.ckpt")
    assert same(loaded, wanted)
    clips = [model.generate(0.02, speaker=NEW, seed=1) for model in (loaded, wanted)]
    assert (clips[0] == clips[1]).all()


def test_a_delta_of_a_row_holds_that_row_and_nothing_else(folder: Path) -> None:
    with safe_open(folder / "embedding" / DELTA_NAME, framework="pt") as file:
        shapes = {name: tuple(file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118
    assert list(shapes.values()) == [(1, 8)]
    assert (folder / "embedding" / DELTA_NAME).stat().st_size < 2_000


@pytest.mark.parametrize("method", ["embedding", "all"])
def test_a_merged_checkpoint_is_the_adapted_model_and_needs_no_base(
    folder: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge(folder / method, tmp_path / "whole" / "m.ckpt", None) == 0
    assert "type next    wavenet-pl generate" in capsys.readouterr().out
    assert same(wavenet_pl.load(tmp_path / "whole" / "m.ckpt"), wavenet_pl.load(folder / f"{method}.ckpt"))


def test_a_base_that_has_moved_can_be_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "delta").mkdir()
    (tmp_path / "delta" / DELTA_NAME).write_bytes((folder / "embedding" / DELTA_NAME).read_bytes())
    moved = tmp_path / "moved.ckpt"
    moved.write_bytes((folder / "base.ckpt").read_bytes())
    assert merge(tmp_path / "delta", tmp_path / "m.ckpt", moved) == 0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (
            "/data/planted/runs/all-1a2b3c/checkpoints/step-000000003.ckpt",
            "all-1a2b3c/checkpoints/step-000000003.ckpt",
        ),
        ("/data/planted/runs/ben-1a2b3c/delta.safetensors", "ben-1a2b3c/delta.safetensors"),
        ("/data/planted/export", "export"),
        ("pretrained:speaker", "pretrained:speaker"),
    ],
)
def test_a_delta_says_nothing_of_its_makers_folders(
    folder: Path, tmp_path: Path, path: str, name: str
) -> None:
    base, adapted = (wavenet_pl.load(folder / each) for each in ("base.ckpt", "all.ckpt"))
    write_delta(Base(path, base), adapted, tmp_path / "d" / DELTA_NAME, Path(path), "all")
    assert header(tmp_path / "d" / DELTA_NAME)["base"] == name
    assert b"planted" not in (tmp_path / "d" / DELTA_NAME).read_bytes()


@pytest.mark.parametrize("note", [True, False])
def test_the_base_is_where_it_was_or_in_the_same_folder_of_runs(
    folder: Path, tmp_path: Path, note: bool
) -> None:
    runs = tmp_path / "moved"
    path, base = (
        runs / "dora" / DELTA_NAME,
        tmp_path / "elsewhere" / "base.ckpt" if note else runs / "base.ckpt",
    )
    path.parent.mkdir(parents=True)
    base.parent.mkdir(exist_ok=True)
    shutil.copy(folder / "all" / DELTA_NAME, path)
    shutil.copy(folder / "base.ckpt", base)
    where = base if note else folder / "before it moved.ckpt"
    path.with_name(BASE_NAME).write_text(json.dumps({"path": str(where)}))
    assert same(wavenet_pl.load(path), wavenet_pl.load(folder / "all.ckpt"))


def test_a_delta_does_not_stand_in_for_checkpoints_that_cannot_be_listed(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "all" / DELTA_NAME, tmp_path)
    (tmp_path / "checkpoints").symlink_to("checkpoints")
    with pytest.raises(UserError, match="checkpoints cannot be listed"):
        wavenet_pl.load(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"path": 3}', "{}"])
def test_a_note_that_says_no_base_is_named(folder: Path, tmp_path: Path, content: str) -> None:
    shutil.copy(folder / "all" / DELTA_NAME, tmp_path)
    (tmp_path / BASE_NAME).write_text(content)
    with pytest.raises(
        UserError, match="base.json does not say where the base is, expected what .* remove it"
    ):
        wavenet_pl.load(tmp_path)


def test_another_base_is_refused_with_both_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"was made on a base with the hash [0-9a-f]{12} \(.*base.ckpt\), and .*other.ckpt has",
    ):
        merge(folder / "embedding", tmp_path / "m.ckpt", folder / "other.ckpt")
    assert not (tmp_path / "m.ckpt").exists()


def test_a_base_that_is_gone_is_named(folder: Path, tmp_path: Path) -> None:
    base = wavenet_pl.load(folder / "base.ckpt")
    adapted = wavenet_pl.load(folder / "embedding.ckpt")
    write_delta(Base("", base), adapted, tmp_path / "d" / DELTA_NAME, tmp_path / "gone.ckpt", "embedding")
    with pytest.raises(
        UserError, match=r"needs its base .*gone.ckpt, which is not there.*--base RUN --merge OUT"
    ):
        wavenet_pl.load(tmp_path / "d")


def test_a_delta_that_names_itself_as_its_base_comes_to_an_end(folder: Path, tmp_path: Path) -> None:
    base, adapted = (wavenet_pl.load(folder / name) for name in ("base.ckpt", "embedding.ckpt"))
    path = tmp_path / "d" / DELTA_NAME
    write_delta(Base("", base), adapted, path, path, "embedding")
    with pytest.raises(UserError, match="an adaptation of an adaptation, and so on, 16 deep"):
        wavenet_pl.load(path)


def header(path: Path) -> dict[str, object]:
    with safe_open(path, framework="pt") as file:
        said: dict[str, object] = json.loads(file.metadata()["wavenet_pl_delta"])
    return said


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"labels": {"speakers": ["a"]}}, {}, "its labels are"),
        ({"step": "7"}, {}, "its header has the step '7', expected int"),
        ({"more": 1}, {}, "its header says nothing of an adaptation"),
        (
            {},
            {f"{SPEAKER_TABLE}[new]": torch.zeros(1, 9)},
            r"has rows of torch.float32 of shape \(1, 9\), which fit no speaker table",
        ),
        (
            {},
            {f"{SPEAKER_TABLE}[new]": torch.zeros(1, 8).to(torch.float8_e4m3fn)},
            r"has rows of torch.float8_e4m3fn of shape \(1, 8\), which fit no speaker table",
        ),
        ({"base": "b" * 5_000}, {}, "needs its base b{5000}, which is not there"),
        ({}, {f"{SPEAKER_TABLE}[new]": torch.zeros(5, 8)}, "does not hold the model that it describes"),
        ({}, {"network.foreign": torch.zeros(2)}, "does not hold the model that it describes"),
        ({}, {"network.hidden.bias": torch.full((16,), torch.nan)}, "numbers that are not finite"),
    ],
)
def test_a_damaged_or_foreign_delta_is_one_message(
    folder: Path, tmp_path: Path, changes: dict[str, object], tensors: dict[str, torch.Tensor], message: str
) -> None:
    whole = {"base": str(folder / "base.ckpt")}  # as it was written once
    said = header(folder / "embedding" / DELTA_NAME) | whole | changes
    rows = {f"{SPEAKER_TABLE}[new]": torch.zeros(1, 8)} | tensors
    path = tmp_path / DELTA_NAME
    path.write_bytes(save(rows, {"wavenet_pl_delta": json.dumps(said)}))
    with pytest.raises(UserError, match=message):
        wavenet_pl.load(path)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\xff" * 100])
def test_what_is_no_delta_is_one_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DELTA_NAME).write_bytes(content)
    with pytest.raises(UserError, match="expected what `wavenet-pl adapt` wrote; copy it again"):
        wavenet_pl.load(tmp_path / DELTA_NAME)


@pytest.mark.parametrize(
    ("run", "out", "message"),
    [
        ("embedding", "m.safetensors", "expected a name that ends in .ckpt"),
        ("embedding", "there.ckpt", "is there already, expected a new file"),
        ("nothing", "m.ckpt", "is not there, expected what `wavenet-pl adapt` wrote"),
    ],
)
def test_a_merge_that_cannot_be_is_one_message(
    folder: Path, tmp_path: Path, run: str, out: str, message: str
) -> None:
    (tmp_path / "there.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match=message):
        merge(folder / run, tmp_path / out, None)
