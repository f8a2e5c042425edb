"""A checkpoint or an export takes the memory that its file has, whatever it claims and however it is packed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.archives import BOMBS
from tests.hostile import checkpoint_content, header_of
from tests.memory import taking_at_most
from tests.small import small_model
from wavenet_pl.config.tree import to_yaml
from wavenet_pl.errors import UserError
from wavenet_pl.runs import loading
from wavenet_pl.runs.weights import encode_weights
from wavenet_pl.shards.labels import Labels

_MORE = 200 * 2**20
"""Bytes that reading may take beyond those of the file."""


@pytest.mark.parametrize("name", BOMBS)
def test_a_checkpoint_that_would_grow_is_one_message(tmp_path: Path, name: str) -> None:
    path = tmp_path / "step-000000003.ckpt"
    path.write_bytes(BOMBS[name]())
    with taking_at_most(path.stat().st_size + _MORE), pytest.raises(UserError) as error:
        loading.load(path)
    assert str(error.value).startswith(f"{path} cannot be loaded (") and "\n" not in str(error.value)


EMPTY = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
HEADERS: dict[str, dict[str, Any]] = {
    "empty tensors": {str(number): EMPTY for number in range(20_000)},
    "a shape of many numbers": {"x": {**EMPTY, "shape": [0] * 500_000}},
    "a tensor of all the memory": {"x": {**EMPTY, "shape": [2**40], "data_offsets": [0, 2**40]}},
}


@pytest.mark.parametrize("name", [*HEADERS, "a longer header", "a header of what follows"])
def test_an_export_whose_header_lies_is_one_message(tmp_path: Path, name: str) -> None:
    model, path = small_model(), tmp_path / "model.safetensors"
    (tmp_path / "config.yaml").write_text(to_yaml(model.config))
    data = encode_weights(model, 3)
    header, tensors = header_of(data)
    if name in HEADERS:
        text = json.dumps({**header, **HEADERS[name]}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    else:
        size = 10**8 if name == "a longer header" else len(data) - 8
        path.write_bytes(struct.pack("<Q", size) + data[8:])
    with taking_at_most(path.stat().st_size + _MORE), pytest.raises(UserError) as error:
        loading.load(tmp_path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_checkpoint_with_many_tensors_and_names_is_read(tmp_path: Path) -> None:
    """Far more than a run has; and by its path, which torch names the folder in the archive by."""
    content = checkpoint_content()
    content["optimizer_states"] = [{number: torch.zeros(1) for number in range(2_000)}]
    content["wavenet_pl"]["labels"] = Labels({"speaker": tuple(f"s{n}" for n in range(50_000))}).to_plain()
    path = tmp_path / "Über.alles 2.ckpt"
    torch.save(content, path)
    loaded = loading.read_checkpoint(path)
    assert loaded["wavenet_pl"] == content["wavenet_pl"] and len(loaded["optimizer_states"][0]) == 2_000
