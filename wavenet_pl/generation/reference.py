"""The reference engine: the training network, one sample at a time. Slow, and the truth for all others.

Shapes: B batch, C channels, T time, N new samples, P past, K head parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from wavenet_pl.errors import BadDataError
from wavenet_pl.generation.job import Job
from wavenet_pl.heads import Head
from wavenet_pl.layers.convolution import CausalConv1d
from wavenet_pl.network import State, WaveNet


class Reference:
    """Generates clips with the network itself, on the device and in the precision of its weights.

    Args:
        network: runs in eval mode, and gets its own mode back at every yield.
        head: what its outputs mean.
        threads: torch has so many meanwhile; one, which is best for small steps, if None.
    """

    name = "reference"
    weights = "float32"
    compile_seconds = 0.0

    def __init__(self, network: WaveNet, head: Head, *, threads: int | None = None) -> None:
        self.network, self.head, self.threads = network, head, threads or 1

    def refresh(self) -> None:
        """Nothing to do: it has no other weights than the network's."""

    def stream(self, job: Job) -> Iterator[Tensor]:
        """Generate clips and hand them out piece by piece.

        Yields:
            Codes (B, N), int64, with N = job.chunk until the last; what is after a clip's end means nothing.

        Raises:
            BadDataError: the network's outputs are not finite.
        """
        network, draw = self.network, job.draw
        state, codes_B = absorb(network, job)
        device = codes_B.device
        rows = list(range(len(codes_B)))
        for start, stop in job.chunks:
            before, rows = rows, job.unfinished(start)
            if rows != before:
                kept = torch.tensor([before.index(row) for row in rows], device=device)
                codes_B, state = codes_B[kept], tuple(past_PBC[:, kept] for past_PBC in state)
            codes_BN = torch.full((len(job.lengths), stop - start), job.silence_code, device=device)
            uniforms_BN = torch.from_numpy(draw.uniforms(start, stop, rows)).to(device)
            with _inference(network, self.threads):
                condition = job.columns(start, stop, rows)
                if condition is not None:
                    condition = condition.to(device)
                for sample in range(stop - start):
                    outputs_BKT, state = network(codes_B[:, None], _column(condition, sample), state)
                    outputs_BK = outputs_BKT[:, :, 0]
                    codes_B = self.head.draw(outputs_BK, uniforms_BN[:, sample], draw.temperature, draw.top_p)
                    codes_BN[rows, sample] = codes_B
                finite = bool(outputs_BK.isfinite().all())  # bad weights show at every sample: look once
            if not finite:
                raise not_finite(stop - 1)
            yield codes_BN


def absorb(network: WaveNet, job: Job) -> tuple[State, Tensor]:
    """The state after all inputs but the last of each clip, and these last inputs (B,).

    Each clip's prompt is absorbed by one forward over its last receptive_field samples, which is exact: no sample to
    come depends on anything earlier. Clips go one by one and on one thread, so that none depends on the other clips or
    on the number of threads.
    """
    device = next(network.parameters()).device
    states: list[State] = []
    last_known_T: Tensor | None = None
    last_condition_HT: Tensor | None = None
    for row, inputs_T in enumerate(job.inputs):
        end = len(inputs_T) - 1
        begin = max(0, end + 1 - network.receptive_field)
        known_T = inputs_T[begin:end]
        condition_HT = None if job.condition is None else job.condition.columns(row, begin, end)
        if row and _same(known_T, last_known_T) and _same(condition_HT, last_condition_HT):
            states.append(states[-1])
            continue
        last_known_T, last_condition_HT = known_T, condition_HT
        with _inference(network):
            if begin == end:
                states.append(_beginning(network))
            else:
                condition_1HT = None if condition_HT is None else condition_HT.to(device)[None]
                states.append(network(known_T.to(device)[None], condition_1HT, last=1)[1])
    pasts = zip(*states, strict=True)
    codes_B = torch.stack([inputs_T[-1] for inputs_T in job.inputs]).to(device)
    return tuple(torch.cat(past, dim=1) for past in pasts), codes_B


def not_finite(sample: int) -> BadDataError:
    """The error for outputs that are not finite."""
    return BadDataError(
        f"the network's outputs are not finite near generated sample {sample}, expected numbers; "
        "its weights are damaged or its training diverged: use an earlier checkpoint"
    )


def _beginning(network: WaveNet) -> State:
    """The state of one recording that has not begun."""
    weight = next(network.parameters())
    return tuple(
        weight.new_zeros(convolution.context, 1, convolution.in_channels)
        for convolution in network.modules()
        if isinstance(convolution, CausalConv1d)
    )


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))


def _column(condition: Tensor | None, sample: int) -> Tensor | None:
    """The one that goes with a sample of a chunk."""
    if condition is None or condition.shape[2] == 1:
        return condition
    return condition[:, :, sample : sample + 1]


@contextmanager
def _inference(network: nn.Module, threads: int = 1) -> Iterator[None]:
    """Eval mode without gradients and so many threads, and all as it was again afterwards."""
    training, threads_before = network.training, torch.get_num_threads()
    network.eval()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads_before)
        network.train(training)
