"""Public implementations of WaveNet, loaded from a checkout that someone has: each by its own cached generator."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch

from wavenet_pl.errors import UserError
from wavenet_pl.network import WaveNet

Loader = TypeVar("Loader")
Generate = Callable[[int], None]
"""Makes so many new samples of one clip."""


def load_peer(checkout: Path, network: WaveNet) -> tuple[str, Generate]:
    """The name of an implementation, and its generator for a network of the same size and with the same layers.

    What differs between implementations, such as the first convolution, keeps the weights that it is made with.

    Raises:
        UserError: the folder holds none that is known.
    """
    load = known_in(checkout, _KNOWN)
    with importing(checkout):
        return load(network)


def known_in(checkout: Path, known: Mapping[str, Loader]) -> Loader:
    """The loader of the first file that the checkout has.

    Raises:
        UserError: it has none of them.
    """
    for mark, load in known.items():
        if (checkout / mark).is_file():
            return load
    raise UserError(
        f"{checkout} holds no known implementation, expected {' or '.join(known)} in a folder given"
    )


@contextlib.contextmanager
def importing(checkout: Path) -> Iterator[None]:
    """Modules of a checkout are found, and what they import for reading audio need not be there."""
    sys.path.insert(0, str(checkout))
    before = set(sys.modules)
    sys.modules.setdefault("librosa", ModuleType("librosa"))
    try:
        yield
    finally:
        sys.path.remove(str(checkout))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if name == "librosa" or (file and Path(file).is_relative_to(checkout)):
                del sys.modules[name]


@torch.no_grad()
def _wavenet_vocoder(network: WaveNet) -> tuple[str, Generate]:
    from wavenet_vocoder import WaveNet as Peer  # type: ignore[import-not-found]

    config = network.config
    peer = Peer(
        out_channels=network.quantization_channels, layers=config.num_layers, stacks=config.stacks,
        residual_channels=config.residual_channels, gate_channels=config.gate_channels,
        skip_out_channels=config.skip_channels, kernel_size=config.kernel_size, dropout=0.0,
    )  # fmt: skip
    peer.make_generation_fast_()
    peer.eval()
    for ours, theirs in zip(network.layers, peer.conv_layers, strict=True):
        for one, other in (("dilated", "conv"), ("residual", "conv1x1_out"), ("skip", "conv1x1_skip")):
            _copy(getattr(ours, one), getattr(theirs, other))
    for one, place in (("hidden", 1), ("output", 3)):
        _copy(getattr(network, one), peer.last_conv_layers[place])
    return "wavenet_vocoder", lambda samples: peer.incremental_forward(T=samples)


@torch.no_grad()
def _pytorch_wavenet(network: WaveNet) -> tuple[str, Generate]:
    from wavenet_model import WaveNetModel  # type: ignore[import-not-found]
    from wavenet_modules import DilatedQueue  # type: ignore[import-not-found]

    put = DilatedQueue.enqueue
    # A column was taken for a row by the torch that it was written for.
    DilatedQueue.enqueue = lambda queue, column: put(queue, column.flatten())
    config = network.config
    peer = WaveNetModel(
        layers=config.layers_per_stack, blocks=config.stacks, dilation_channels=config.gate_channels // 2,
        residual_channels=config.residual_channels, skip_channels=config.skip_channels,
        end_channels=config.skip_channels, classes=network.quantization_channels, bias=True,
    )  # fmt: skip
    layers: list[Any] = list(network.layers)
    for number, layer in enumerate(layers):
        half = config.gate_channels // 2
        for part, theirs in ((slice(half), peer.filter_convs), (slice(half, None), peer.gate_convs)):
            theirs[number].weight.copy_(layer.dilated.weight[part])
            theirs[number].bias.copy_(layer.dilated.bias[part])
        _copy(layer.residual, peer.residual_convs[number])
        _copy(layer.skip, peer.skip_convs[number])
    _copy(network.hidden, peer.end_conv_1)
    _copy(network.output, peer.end_conv_2)

    def generate(samples: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it says how long a step takes
            peer.generate_fast(samples)

    return "pytorch-wavenet", generate


def _copy(ours: torch.nn.Conv1d | None, theirs: Any) -> None:
    if ours is not None:  # the last layer's residual is not built
        theirs.weight.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)


_KNOWN: dict[str, Callable[[WaveNet], tuple[str, Generate]]] = {
    "wavenet_vocoder/wavenet.py": _wavenet_vocoder,
    "wavenet_model.py": _pytorch_wavenet,
}
"""A file that a checkout has -> how to load it."""
