"""What an adaptation changed, in a file of its own: small to keep and to send, and of use with its base only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wavenet_pl.config.tree import to_plain
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file, read_file
from wavenet_pl.model import Model
from wavenet_pl.runs.folder import RunFolder, list_checkpoints
from wavenet_pl.runs.released import model_path
from wavenet_pl.runs.weights import build_trained, encode_weights
from wavenet_pl.shards import legacy
from wavenet_pl.shards.labels import Labels

DELTA_NAME, BASE_NAME = "delta.safetensors", "base.json"
"""What changed; and beside it, in the run that it was made in, where its base was."""
SPEAKER_TABLE = "conditioner.inputs.speaker.table.weight"
"""The rows of the speakers among a model's weights."""
_HEADER = "wavenet_pl_delta"
_NEW_ROWS = f"{SPEAKER_TABLE}[new]"


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The header of the file, beside the weights."""

    base: str
    """What the base was called: a checkpoint, an export or a delta, from its run folder on; or ``pretrained:NAME``."""
    base_hash: str
    """See `model_hash`."""
    labels: dict[str, object]
    """Of the adapted model; see `Labels.to_plain`."""
    index_fingerprint: str
    """Of the new voice's shard set."""
    method: str
    """What was trained: embedding or all."""
    step: int
    """Optimizer steps of the adaptation."""


def model_hash(model: Model) -> str:
    """64 hex digits that are the same for the same weights of the same model with the same tables."""
    digest = hashlib.sha256(json.dumps(to_plain(model.config)["model"], sort_keys=True).encode())
    # As version 0.1.0 wrote labels, where it could: a base keeps its hash.
    labels = legacy.labels_of(model.labels.tables, model.labels.frames) or model.labels.to_plain()
    digest.update(encode_weights(model, step=0, labels=labels))
    return digest.hexdigest()


def encode_delta(base: Model, adapted: Model, header: Delta) -> bytes:
    """The weights that differ; of the speaker table the new rows alone, where the old ones are as they were.

    A delta is there to be sent: of the path of its base no folder is written that says whose machine it was.
    """
    header = replace(header, base=_base_name(Path(header.base)))
    before, changed = base.state_dict(), {}
    for name, tensor in adapted.state_dict().items():
        old = before[name]
        if name == SPEAKER_TABLE and torch.equal(tensor[: len(old)], old):
            changed[_NEW_ROWS] = tensor[len(old) :].clone()
        elif not torch.equal(tensor, old):
            changed[name] = tensor.contiguous()
    return save(changed, {_HEADER: json.dumps(asdict(header), sort_keys=True)})


def _base_name(path: Path) -> str:
    parts = 3 if path.parent.name == "checkpoints" else 2 if path.name == DELTA_NAME else 1
    return "/".join(path.parts[-parts:])


def _bases(path: Path, header: Delta) -> Iterator[Path]:
    """Where the base of a delta may be, the likeliest first."""
    noted = path.with_name(BASE_NAME)
    if os.path.isfile(noted):
        try:
            yield Path(json.loads(read_file(noted, 2**16))["path"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            raise UserError(
                f"{noted} does not say where the base is, expected what `wavenet-pl adapt` wrote; remove it"
            ) from None
    yield path.absolute().parent.parent / header.base
    yield model_path(header.base)


def find_delta(path: Path) -> Path | None:
    """The file that is meant by a path: itself, or that of a run folder whose checkpoints are not there."""
    if path.name == DELTA_NAME:
        return path
    alone = os.path.isfile(path / DELTA_NAME) and not list_checkpoints(RunFolder(path))
    return path / DELTA_NAME if alone else None


def read_delta(path: Path) -> tuple[Delta, dict[str, Tensor]]:
    """The header of the file, and the weights by name.

    Raises:
        UserError: it is damaged, or was written by something else.
    """
    try:
        open_file(path).close()  # the library would wait for a pipe
        with safe_open(path, framework="pt") as file:
            changed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            header = json.loads((file.metadata() or {}).get(_HEADER, "null"))
        wanted = {each.name: str for each in fields(Delta)} | {"labels": dict, "step": int}
        if not isinstance(header, dict) or set(header) != set(wanted):
            raise ValueError("its header says nothing of an adaptation")
        for name, kind in wanted.items():
            if type(header[name]) is not kind:
                raise ValueError(f"its header has the {name} {header[name]!r:.40}, expected {kind.__name__}")
        Labels.read(header["labels"])
        return Delta(**header), changed
    except (SafetensorError, OSError, MemoryError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} cannot be loaded ({reason}), expected what `wavenet-pl adapt` wrote; copy it again"
        ) from None


def load_delta(path: Path, load: Callable[[str], Model], base: str | os.PathLike[str] | None = None) -> Model:
    """The adapted model, in eval mode.

    Args:
        path: the file.
        load: gives the model of a run, a checkpoint or an export.
        base: where the base is now; None for where it was, or in the folder of runs that this one is in.

    Raises:
        UserError: the file is damaged, its base is not there, or it is another one; names both.
    """
    header, changed = read_delta(path)
    paths = [model_path(base)] if base is not None else list(_bases(path, header))
    base_path = next((each for each in paths if os.path.exists(each)), None)
    if base_path is None:
        tried = ", ".join(dict.fromkeys(map(str, paths)))
        raise UserError(
            f"{path} needs its base {base or header.base}, which is not there (looked for {tried}), expected a model "
            f"with the hash {header.base_hash[:12]}; bring it back, or say where it is with `adapt {path} --base RUN "
            "--merge OUT`"
        )
    model = load(str(base_path))
    base_hash = model_hash(model)
    if base_hash != header.base_hash:
        raise UserError(
            f"{path} was made on a base with the hash {header.base_hash[:12]} ({header.base}), and {base_path} has "
            f"{base_hash[:12]}, expected the same; use the base that it was made on"
        )
    state = {**model.state_dict(), **changed}
    if (rows := state.pop(_NEW_ROWS, None)) is not None:
        table = state.get(SPEAKER_TABLE)
        if table is None or (rows.dtype, rows.shape[1:]) != (table.dtype, table.shape[1:]):
            raise UserError(
                f"{path} has rows of {rows.dtype} of shape {tuple(rows.shape)}, which fit no speaker table of "
                f"{base_path}; copy it again"
            )
        state[SPEAKER_TABLE] = torch.cat([table, rows])
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    origin = {
        "sample_rate": model.sample_rate,
        "index_fingerprint": header.index_fingerprint,
        "labels": header.labels,
    }
    return build_trained(model.config, origin, state, path, size)
