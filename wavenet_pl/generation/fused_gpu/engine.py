"""The fast engine on GPUs: all of a sample stays on the device, and codes come back once for each chunk.

Shapes: B clips, N new samples, K outputs, H condition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_gpu.buffers import Buffers, stretch
from wavenet_pl.generation.fused_gpu.packing import Weights, pack
from wavenet_pl.generation.fused_gpu.steps import Steps
from wavenet_pl.generation.fused_gpu.uniforms import signed, uniforms
from wavenet_pl.generation.job import Job
from wavenet_pl.generation.reference import absorb, not_finite
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet

WAYS = ("kernel", "steps")
"""How samples are made, the fastest first: one launch for a stretch of them, or a graph of launches for each."""


class Way(Protocol):
    """How samples are made."""

    def refresh(self) -> None:
        """Take the packed weights as they are now, where it has them in another form."""

    def rows(self, batch: int) -> int:
        """Rows of the buffers for so many clips."""

    def session(self, draw: Draw, buffers: Buffers) -> Callable[[int], None]:
        """Makes so many samples at each call, from what is in the buffers then."""


class _Session(NamedTuple):
    """A batch that can be made: what it needs is there, and is used again for one that is alike."""

    buffers: Buffers
    run: Callable[[int], None]


class FusedGpu:
    """Generates what the reference generates, but for draws that float32 cannot tell apart.

    Runs where the network is; on a CPU, to be tested, by the same code.

    Args:
        network: its weights are copied; `refresh` copies them again.
        head: what its outputs mean.
        weights: float32, or bf16; computed in float32 whichever it is.
        way: one of `WAYS`.
    """

    name = "fused-gpu"
    threads = 1

    def __init__(self, network: WaveNet, head: Head, *, weights: str = "float32", way: str = "steps") -> None:
        begin = time.perf_counter()
        self.network, self.head, self.weights = network, head, weights
        self.last_outputs: Tensor | None = None
        """(B, K), which the last sample of a chunk was drawn from."""
        self._packed = pack(network, weights)
        self._way = _build_way(way, network, head, self._packed, weights)
        self._idle: dict[object, _Session] = {}
        self.compile_seconds = time.perf_counter() - begin
        """How long it took to pack the weights; what a batch takes to be compiled for is in its first chunk."""

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the network's weights as they are now."""
        for tensor, new in zip(self._packed, pack(self.network, self.weights), strict=True):
            tensor.copy_(new)
        self._way.refresh()

    def stream(self, job: Job) -> Iterator[Tensor]:
        """Generate clips and hand them out piece by piece.

        Yields:
            Codes (B, N), int64, with N = job.chunk until the last; what is after a clip's end means nothing.

        Raises:
            BadDataError: the network's outputs are not finite.
        """
        state, codes_B = absorb(self.network, job)
        device, batch = codes_B.device, len(job.lengths)
        local = job.condition is not None and not job.condition.constant
        samples = stretch(self.network, batch, job.chunk)
        key = batch, samples, local, job.draw.temperature, job.draw.top_p
        with _computing(device):
            # Whoever goes on with another stream meanwhile gets a session of its own.
            session = self._idle.pop(key, None) or self._build_session(batch, samples, local, job.draw)
            buffers = session.buffers
            buffers.load(state, job.inputs)
            if not local:
                buffers.project(self._packed, job.columns(0, 1, range(batch)))
        keys_B = torch.tensor([signed(each) for each in job.draw.stream_keys()], device=device)
        lengths_B = torch.tensor(job.lengths, device=device)
        for start, stop in job.chunks:
            pieces = []
            with _computing(device):
                for begin in range(start, stop, samples):
                    end = min(begin + samples, stop)
                    if local:
                        buffers.project(self._packed, job.columns(begin, end, range(batch)))
                    remaining_B = (lengths_B - begin).clamp(0, end - begin)
                    buffers.begin(uniforms(keys_B, begin, end - begin), remaining_B)
                    session.run(end - begin)
                    pieces.append(buffers.end(batch, end - begin))
                self.last_outputs = buffers.outputs[:batch].clone()
                finite = bool(self.last_outputs.isfinite().all())  # the one time that the host waits
            if not finite:
                raise not_finite(stop - 1)
            yield torch.cat(pieces, dim=1)
        self._idle = {key: session}

    def _build_session(self, batch: int, samples: int, local: bool, draw: Draw) -> _Session:
        buffers = Buffers(self.network, self._way.rows(batch), samples, local=local)
        return _Session(buffers, self._way.session(draw, buffers))


def _build_way(way: str, network: WaveNet, head: Head, packed: Weights, weights: str) -> Way:
    if way == "steps":
        return Steps(network, head, packed)
    from wavenet_pl.generation.fused_gpu.launch import Launches  # triton may not be there

    return Launches(network, head, packed, weights)


@contextmanager
def _computing(device: torch.device) -> Iterator[None]:
    """No gradients, and products in float32, whatever a training around it has chosen; all as it was again after."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False), _on(device):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def _on(device: torch.device) -> Iterator[None]:
    """The device as torch's current one, where it is a GPU."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        yield
