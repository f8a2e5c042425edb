"""Networks of public implementations, from a checkout that someone has, to be trained on our batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers import importing, known_in
from wavenet_pl.config.model import NetworkConfig

CODES = 256
R9Y9_LR = 1e-3


@dataclass(frozen=True)
class PeerNetwork:
    """One of them, of the size that was asked for."""

    name: str
    module: nn.Module
    outputs: Callable[[Tensor], Tensor]
    """Codes (B, T) -> outputs (B, K, U): the last predicts the code after the last. U may be less than T."""
    optimizer: Callable[..., torch.optim.Optimizer]
    lr: float
    """Its own settings, as its examples have them: constant over the first tens of thousands of steps."""
    layers: Sequence[nn.Module]
    """Its dilated layers, and what stands in each."""


def load_network(checkout: Path, config: NetworkConfig) -> PeerNetwork:
    """The network of a checkout, with the layers and channels of a config.

    What differs between implementations, as the first convolution does, stays as they have it.

    Raises:
        UserError: the folder holds none that is known.
    """
    load = known_in(checkout, _KNOWN)
    with importing(checkout):
        return load(config)


def r9y9_module(config: NetworkConfig, condition_channels: int = -1) -> nn.Module:
    """The network of r9y9's checkout, which has to be importable; -1 for no condition."""
    from wavenet_vocoder import WaveNet  # type: ignore[import-not-found]

    module: nn.Module = WaveNet(
        out_channels=CODES, layers=config.num_layers, stacks=config.stacks,
        residual_channels=config.residual_channels, gate_channels=config.gate_channels,
        skip_out_channels=config.skip_channels, kernel_size=config.kernel_size, dropout=0.0,
        cin_channels=condition_channels,
    )  # fmt: skip
    return module


def _r9y9(config: NetworkConfig) -> PeerNetwork:
    module: Any = r9y9_module(config)

    def outputs(codes_BT: Tensor) -> Tensor:
        one_hot_BTK = nn.functional.one_hot(codes_BT, CODES).float()
        made: Tensor = module(one_hot_BTK.transpose(1, 2))
        return made

    return PeerNetwork("r9y9", module, outputs, torch.optim.Adam, R9Y9_LR, [module.conv_layers])


def _kan_bayashi(config: NetworkConfig) -> PeerNetwork:
    from wavenet_vocoder.nets.wavenet import (  # type: ignore[import-not-found]
        WaveNet,
        initialize,
    )

    # It has one width for residuals and gates, and cannot be without a condition: here one channel of zeros.
    module = WaveNet(
        n_quantize=CODES, n_aux=1, n_resch=config.residual_channels, n_skipch=config.skip_channels,
        dilation_depth=config.layers_per_stack, dilation_repeat=config.stacks, kernel_size=config.kernel_size,
    )  # fmt: skip
    module.apply(initialize)

    def outputs(codes_BT: Tensor) -> Tensor:
        made: Tensor = module(codes_BT, torch.zeros(len(codes_BT), 1, codes_BT.shape[1]))
        return made.transpose(1, 2)

    return PeerNetwork("kan-bayashi", module, outputs, torch.optim.Adam, 1e-4, [
        module.dil_sigmoid, module.dil_tanh, module.skip_1x1, module.res_1x1,
    ])  # fmt: skip


def _s4(config: NetworkConfig) -> PeerNetwork:
    base = ModuleType("src.models.sequence.base")
    base.SequenceModule = nn.Module  # type: ignore[attr-defined]  # the real one wants all that S4 needs
    sys.modules[base.__name__] = base
    try:
        from src.models.baselines.wavenet import WaveNetModel  # type: ignore[import-not-found]
    finally:
        del sys.modules[base.__name__]
    network = WaveNetModel(
        layers=config.layers_per_stack, blocks=config.stacks, dilation_channels=config.gate_channels // 2,
        residual_channels=config.residual_channels, skip_channels=config.skip_channels,
        end_channels=config.skip_channels, classes=CODES, kernel_size=config.kernel_size,
    )  # fmt: skip
    module = nn.ModuleDict({"encoder": nn.Embedding(CODES, CODES), "network": network})

    def outputs(codes_BT: Tensor) -> Tensor:
        made: Tensor = module["network"](module["encoder"](codes_BT))[0]
        return made.transpose(1, 2)

    return PeerNetwork("s4", module, outputs, torch.optim.AdamW, 1e-3, [
        network.filter_convs, network.gate_convs, network.residual_convs, network.skip_convs,
    ])  # fmt: skip


_KNOWN: dict[str, Callable[[NetworkConfig], PeerNetwork]] = {
    "wavenet_vocoder/nets/wavenet.py": _kan_bayashi,
    "wavenet_vocoder/wavenet.py": _r9y9,
    "src/models/baselines/wavenet.py": _s4,
}
"""A file that a checkout has -> how to load its network."""
