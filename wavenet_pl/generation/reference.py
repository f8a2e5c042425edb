"""The reference engine: the training network, one sample at a time. Slow, and the truth for all others.

Shapes: B batch, T time, N new samples, K head parameters, H condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.draw import Draw
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet


def stream(
    network: WaveNet,
    head: Head,
    draw: Draw,
    num_samples: int,
    *,
    silence_code: int,
    prompt_BT: Tensor | None = None,
    condition: Tensor | None = None,
    chunk: int = 1000,
) -> Iterator[Tensor]:
    """Generate clips and hand them out piece by piece.

    Each recording is preceded by one silence code, as in training: that is the first input. A prompt follows
    it and is absorbed by one forward over its last receptive_field samples, which is exact.

    Args:
        network: runs in eval mode, on the device of its weights, and gets its own mode back at every yield.
        head: what its outputs mean.
        draw: temperature, top_p, seed, and a clip number for each row of the batch.
        num_samples: how many to generate after the prompt.
        silence_code: the codec's code of silence.
        prompt_BT: codes that the clips begin with, such as a recording's. They are not handed out again.
        condition: (B, H, 1), or (B, H, T + num_samples): a column for each sample, prompt included.
        chunk: how many samples to hand out at a time.

    Yields:
        Codes (B, N), int64, with N = chunk until the last.

    Raises:
        ValueError: arguments do not fit each other or the network.
        BadDataError: the network's outputs are not finite.
    """
    inputs_BT, condition = first_inputs(
        network,
        head,
        draw,
        num_samples,
        silence_code=silence_code,
        prompt_BT=prompt_BT,
        condition=condition,
        chunk=chunk,
    )
    return _generate(network, head, draw, num_samples, inputs_BT, condition, chunk)


def first_inputs(
    network: WaveNet,
    head: Head,
    draw: Draw,
    num_samples: int,
    *,
    silence_code: int,
    prompt_BT: Tensor | None,
    condition: Tensor | None,
    chunk: int,
) -> tuple[Tensor, Tensor | None]:
    """The inputs (B, 1 + T) before the first new sample and the condition, on the network's device.

    Raises:
        ValueError: arguments, which are those of `stream`, do not fit each other or the network.
    """
    head.check_draw(draw.temperature, draw.top_p)
    batch = len(draw.clips)
    for name, value in (("num_samples", num_samples), ("chunk", chunk)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
    device = next(network.parameters()).device
    inputs_BT = torch.full((batch, 1), silence_code, device=device)
    if prompt_BT is not None:
        _check_prompt(prompt_BT, batch, network.quantization_channels)
        inputs_BT = torch.cat([inputs_BT, prompt_BT.to(device)], dim=1)
    if condition is not None:
        num_columns = inputs_BT.shape[1] - 1 + num_samples
        if condition.ndim != 3 or condition.shape[0] != batch or condition.shape[2] not in (1, num_columns):
            raise ValueError(
                f"condition has shape {tuple(condition.shape)}, expected ({batch}, channels, 1) or ({batch}, "
                f"channels, {num_columns}): a row for each clip, a column for each sample, prompt included"
            )
        condition = condition.to(device)
    return inputs_BT, condition


def check_finite(outputs: Tensor, sample: int) -> None:
    """Raise BadDataError for outputs that are not finite. Bad weights show at every sample: look now and then."""
    if not bool(outputs.isfinite().all()):
        raise BadDataError(
            f"the network's outputs are not finite near generated sample {sample}, expected numbers; "
            "its weights are damaged or its training diverged: use an earlier checkpoint"
        )


def _generate(
    network: WaveNet,
    head: Head,
    draw: Draw,
    num_samples: int,
    inputs_BT: Tensor,
    condition: Tensor | None,
    chunk: int,
) -> Iterator[Tensor]:
    end = inputs_BT.shape[1]
    begin = max(0, end - network.receptive_field)  # no sample to come depends on anything earlier
    inputs_BT, state = inputs_BT[:, begin:], None
    for start in range(0, num_samples, chunk):
        stop = min(start + chunk, num_samples)
        codes_BN = torch.empty(len(draw.clips), stop - start, dtype=torch.int64, device=inputs_BT.device)
        uniforms_BN = torch.from_numpy(draw.uniforms(start, stop)).to(codes_BN.device)
        with inference(network):
            for sample in range(stop - start):
                outputs_BKT, state = network(inputs_BT, columns(condition, begin, end), state)
                outputs_BK = outputs_BKT[:, :, -1]
                codes_B = head.draw(outputs_BK, uniforms_BN[:, sample], draw.temperature, draw.top_p)
                codes_BN[:, sample] = codes_B
                inputs_BT, begin, end = codes_B[:, None], end, end + 1
        check_finite(outputs_BK, stop - 1)
        yield codes_BN


@contextmanager
def inference(network: nn.Module) -> Iterator[None]:
    """Eval mode without gradients, and the network's own mode again afterwards."""
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(training)


def columns(condition: Tensor | None, begin: int, end: int) -> Tensor | None:
    """The columns that go with inputs begin to end - 1; a global condition has only one."""
    if condition is None or condition.shape[2] == 1:
        return condition
    return condition[:, :, begin:end]


def _check_prompt(prompt_BT: Tensor, batch: int, quantization_channels: int) -> None:
    if prompt_BT.ndim != 2 or prompt_BT.shape[0] != batch or prompt_BT.is_floating_point():
        raise ValueError(
            f"prompt is {prompt_BT.dtype} of shape {tuple(prompt_BT.shape)}, expected codes of shape "
            f"({batch}, time); encode it, and give one row for each clip"
        )
    # Here and not only in the network: on an accelerator it would be too late for a message.
    if prompt_BT.numel() and (prompt_BT.min() < 0 or prompt_BT.max() >= quantization_channels):
        raise ValueError(
            f"prompt has codes from {int(prompt_BT.min())} to {int(prompt_BT.max())}, "
            f"expected 0 to {quantization_channels - 1}; encode it with the model's codec"
        )
