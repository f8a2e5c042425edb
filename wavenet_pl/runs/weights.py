"""Weights in files that anyone may have written: read without running code, and checked before they become a model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from wavenet_pl.audio.formats import SAMPLE_RATES
from wavenet_pl.config.tree import Config, load_config
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import open_file
from wavenet_pl.model import Model
from wavenet_pl.runs.archive import reason_of
from wavenet_pl.runs.checkpoints import CHECKPOINT_KEY
from wavenet_pl.shards.labels import Labels

WEIGHTS_NAME, CONFIG_NAME = "model.safetensors", "config.yaml"
"""What makes a folder an export, and the settings beside it."""
_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
"""What weights may be: a run with trainer.precision=bf16-true has them so."""
_FINGERPRINT = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an export says of its weights beside the config: text in the header of its weights."""

    sample_rate: int
    """Of the audio that they were trained on, in Hz."""
    index_fingerprint: str
    """Of the shard set that they were trained on."""
    labels: dict[str, Any]
    """What the rows of its tables stand for, and how its frames are made; see `Labels.to_plain`."""
    step: int
    """Optimizer steps until then."""


def encode_weights(
    model: Model, step: int, labels: dict[str, Any] | None = None, *, half: bool = False
) -> bytes:
    """model.safetensors: the same bytes for the same weights.

    Args:
        model: whose weights.
        step: optimizer steps until then.
        labels: as they are to be written; the model's own as they are written now if None.
        half: in half precision, which is rounded.
    """
    origin = Origin(
        sample_rate=model.sample_rate,
        index_fingerprint=model.index_fingerprint,
        labels=model.labels.to_plain() if labels is None else labels,
        step=step,
    )
    # One text for all: the library writes several in another order each time.
    header = {CHECKPOINT_KEY: json.dumps(asdict(origin), sort_keys=True)}
    weights = {
        name: tensor.to(torch.float16 if half and tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    return save(weights, header)


def is_export(path: Path) -> bool:
    """Whether a path is that of an export, sound or not: the folder, or the weights in it."""
    return path.name == WEIGHTS_NAME or os.path.lexists(path / WEIGHTS_NAME)


def load_export(path: Path) -> Model:
    """The model that `wavenet-pl export` wrote, in eval mode.

    Args:
        path: the folder, or the weights in it.

    Raises:
        UserError: it is damaged, or was written by something else.
    """
    path = path if path.name == WEIGHTS_NAME else path / WEIGHTS_NAME
    settings = path.with_name(CONFIG_NAME)
    if not os.path.isfile(settings):
        raise UserError(
            f"{settings} is no file, expected the config beside {WEIGHTS_NAME}; copy the export again"
        )
    config = load_config([settings])
    try:
        open_file(path).close()  # the library would wait for a pipe
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            origin = _read_origin((file.metadata() or {}).get(CHECKPOINT_KEY, ""))
    except (SafetensorError, OSError, MemoryError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path} cannot be loaded ({reason_of(error)}), expected weights that `wavenet-pl export` wrote; copy the "
            "export again"
        ) from None
    return build_trained(config, asdict(origin), state, path)


def _read_origin(text: str) -> Origin:
    if not text:
        raise ValueError("its header says nothing of this project")
    header, wanted = json.loads(text), sorted(each.name for each in fields(Origin))
    if not isinstance(header, dict) or sorted(header) != wanted:
        raise ValueError(f"its header says {header!r:.80}, expected {', '.join(wanted)}")
    if type(header["step"]) is not int or header["step"] < 0:
        raise ValueError(f"its step is {header['step']!r:.40}, expected 0 or more")
    return Origin(**header)


def build_trained(
    config: Config, origin: Mapping[str, Any], state: Mapping[str, Any], path: Path, size: int | None = None
) -> Model:
    """The model of a config with these weights, in eval mode.

    Args:
        config: of the model.
        origin: `sample_rate`, `index_fingerprint` and `labels` of the data that it was trained on.
        state: name -> weights.
        path: the file that they come from.
        size: bytes that they have at most; None for the size of the file.

    Raises:
        UserError: they do not belong together.
    """
    try:
        sample_rate, fingerprint = origin["sample_rate"], origin["index_fingerprint"]
        if type(sample_rate) is not int or sample_rate not in SAMPLE_RATES:
            raise ValueError(f"its sample rate is {sample_rate!r:.40}, expected one in Hz")
        if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
            raise ValueError(f"its index fingerprint is {fingerprint!r:.40}, expected 64 hex digits")
        labels = Labels.read(origin["labels"])
        layers = config.model.network.num_layers
        if len(state) < layers:  # each would take a millisecond to build
            raise ValueError(f"its config has {layers} layers, and it holds {len(state)} tensors")
        with torch.device("meta"), _NoFirstValues():  # a config that claims giant layers takes no memory
            model = Model(config, sample_rate=sample_rate, index_fingerprint=fingerprint, labels=labels)
        size = path.stat().st_size if size is None else size
        model.load_state_dict(_checked(state, model.state_dict(), size), assign=True)
    except KeyError as error:
        reason = f"it lacks {error}"
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = reason_of(error)
    else:
        return model.eval()
    raise UserError(f"{path} does not hold the model that it describes: {reason}; use another copy of it")


class _NoFirstValues(TorchFunctionMode):
    """Draws no parameters: on the meta device they have no values, and torch would load its compiler, in a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _checked(state: Mapping[str, Any], wanted: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """A copy of the weights, in the precision that is wanted.

    Args:
        state: what the file holds.
        wanted: the model's own, on the meta device.
        size: of the file: a few bytes in it can pose as a tensor of any size.

    Raises:
        ValueError: they are not the model's, or not really there.
    """
    if missing := sorted(wanted.keys() - state.keys()):
        raise ValueError(f"it lacks {missing[0]}")
    if foreign := sorted(map(repr, state.keys() - wanted.keys())):
        raise ValueError(f"it holds {foreign[0]:.80}, which the model has not")
    for name, tensor in state.items():
        plain = isinstance(tensor, Tensor) and not tensor.is_nested and tensor.layout == torch.strided
        dtypes = _FLOATS if wanted[name].dtype in _FLOATS else (wanted[name].dtype,)
        if not plain or tensor.dtype not in dtypes or tensor.shape != wanted[name].shape:
            actual = f"{tensor.dtype} {tuple(tensor.shape)}" if plain else f"a {type(tensor).__name__}"
            expected = f"{wanted[name].dtype} {tuple(wanted[name].shape)}"
            raise ValueError(f"{name} is {actual}, expected {expected}")
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if claimed > size:
        raise ValueError(f"its weights have {claimed} bytes, and the file has {size}")
    weights = {name: tensor.detach().to(wanted[name].dtype, copy=True) for name, tensor in state.items()}
    if odd := next((name for name, tensor in weights.items() if not bool(tensor.isfinite().all())), None):
        raise ValueError(f"{odd} has numbers that are not finite")
    return weights
