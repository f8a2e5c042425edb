"""What a small change of one sample of real audio does in each layer: its impulse response while it is at work.

Shapes: W windows, L samples from the change on, F frequencies, C channels, Q codes, R residual.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.analysis.material import Windows
from wavenet_pl.codec import Codec
from wavenet_pl.network import LayerTrace, WaveNet

Floats = npt.NDArray[np.float64]
_SHARE = 16
"""Codes that a change is wide, as a share of all: 16 of 256. One code more is another embedding, and may be a hash."""


def step_gains(
    network: WaveNet,
    codec: Codec,
    windows: Windows,
    length: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Floats:
    """Gain of each layer (layers, F) for changes of an amplitude, as in `responses.Response`, on 2L samples.

    Args:
        network: in eval mode.
        codec: of the windows.
        windows: longer than the change can be heard.
        length: how long each layer is listened to after the change (L): from the last L samples of a window on.
        progress: is told the share that is done.
    """
    width = codec.quantization_channels // _SHARE
    gains = np.zeros((len(network.layers), length + 1))

    def response(made: LayerTrace) -> torch.Tensor:
        return made.gated[0, :, -length:].double()

    for number, (codes_1T, condition) in enumerate(windows.each()):
        changed_1T = codes_1T.clone()
        code = int(codes_1T[0, -length])
        # Towards the middle, where there is room.
        other = code + width if code < codec.quantization_channels // 2 else code - width
        changed_1T[0, -length] = other
        before, after = codec.decode(torch.tensor([code, other])).double().tolist()
        with torch.inference_mode():
            plain = network.trace(codes_1T, condition, response).layers
            moved = network.trace(changed_1T, condition, response).layers
        for layer, (one_CL, two_CL) in enumerate(zip(plain, moved, strict=True)):
            impulse_CL = ((two_CL - one_CL) / (after - before)).numpy()
            gains[layer] += (np.abs(np.fft.rfft(impulse_CL, 2 * length)) ** 2).sum(axis=0) / len(windows)
        progress((number + 1) / len(windows))
    return gains


def roughness(network: WaveNet, codec: Codec) -> float | None:
    """How much farther apart neighbouring codes are than a step across many says: 1 for a straight line.

    None for a network that takes amplitudes.
    """
    if network.embedding is None:
        return None
    weight_QR, width = network.embedding.weight.detach().double(), codec.quantization_channels // _SHARE
    near = (weight_QR[1:] - weight_QR[:-1]).norm(dim=1).mean()
    far = (weight_QR[width:] - weight_QR[:-width]).norm(dim=1).mean() / width
    return float(near / far)
