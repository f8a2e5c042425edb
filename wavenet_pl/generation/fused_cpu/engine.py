"""The fast engine on CPUs: one compiled loop over all layers, the draw inside it, a thread for each group of clips.

Shapes: B batch, C clips of one thread, T time, N new samples, K head parameters, H condition.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl import logistics
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fitness import DISTRIBUTIONS
from wavenet_pl.generation.fused_cpu import draws, kernels, packing, vectors
from wavenet_pl.generation.job import Job
from wavenet_pl.generation.reference import absorb, not_finite
from wavenet_pl.heads import Head
from wavenet_pl.network import WaveNet
from wavenet_pl.numbers.compiled import Kernel, load_kernel

Array = npt.NDArray[Any]
_GROUP = 32  # clips that share one reading of the weights: their numbers stay in the nearest caches


class Drawing(NamedTuple):
    """What the compiled draw reads: the distribution and the numbers that it needs."""

    kind: int
    """Index in `DISTRIBUTIONS`."""
    num_outputs: int
    num_levels: int
    temperature: float
    top_p: float
    start: float = logistics.START
    widest: float = logistics.WIDEST
    narrowest: float = logistics.NARROWEST


class FusedCPU:
    """Generates what the reference generates, but for draws that float32 cannot tell apart.

    With float32 weights a clip depends on seed and clip number alone: not on the batch, the chunk or the threads.

    Args:
        network: its weights are copied; `refresh` copies them again.
        head: what its outputs mean.
        weights: float32, bf16, or int8 with a scale for each channel; computed in float32 whichever it is.
        threads: at most so many groups of clips are generated at a time; as many as torch has if None, so that ranks
            of a training share the cores.
    """

    name = "fused-cpu"

    def __init__(
        self, network: WaveNet, head: Head, *, weights: str = "float32", threads: int | None = None
    ) -> None:
        self.network, self.head, self.weights = network, head, weights
        self.threads = threads or torch.get_num_threads()
        self._packed = packing.pack(network, weights)
        begin = time.perf_counter()
        self._kernel = load_kernel(kernels.run, (vectors, draws, kernels), self._warm_up)
        self.compile_seconds = time.perf_counter() - begin
        """How long it took to compile the kernel, or to load what was compiled before."""

    def refresh(self) -> None:
        """Take the network's weights as they are now."""
        for array, new in zip(self._packed, packing.pack(self.network, self.weights), strict=True):
            if isinstance(array, np.ndarray):
                array[...] = new

    def stream(self, job: Job) -> Iterator[Tensor]:
        """Generate clips and hand them out piece by piece.

        Yields:
            Codes (B, N), int64, with N = job.chunk until the last; what is after a clip's end means nothing.

        Raises:
            BadDataError: the network's outputs are not finite.
        """
        drawing, batch = self._drawing(job.draw), len(job.lengths)
        state, _ = absorb(self.network, job)
        groups = [
            _Group(
                range(batch)[rows],
                packing.remember(self.network, [past_PBR[:, rows] for past_PBR in state], job.inputs[rows]),
            )
            for rows in self._rows(batch)
        ]
        with ThreadPoolExecutor(max(1, self.threads - 1)) as pool:
            for start, stop in job.chunks:
                for group in groups:
                    group.keep([row for row in group.rows if job.lengths[row] > start])
                groups = [group for group in groups if group.rows]
                steps = [
                    partial(
                        group.run,
                        self._kernel,
                        self._packed,
                        drawing,
                        job.columns(start, stop, group.rows),
                        job.draw.uniforms(start, stop, group.rows),
                        np.empty((len(group.rows), 0), np.int64),
                        self._outputs(len(group.rows), 1),
                    )
                    for group in groups
                ]
                # A share of them here: handing one over takes as long as many samples.
                handed = {
                    number: pool.submit(step) for number, step in enumerate(steps) if number % self.threads
                }
                own = {number: steps[number]() for number in range(0, len(steps), self.threads)}
                codes_BN = np.full((batch, stop - start), job.silence_code)
                for number, group in enumerate(groups):
                    made = own[number] if number in own else handed[number].result()
                    if not made.finite:
                        raise not_finite(stop - 1)
                    codes_BN[group.rows] = made.codes_CN
                yield torch.from_numpy(codes_BN)

    def predict(self, codes_BT: Tensor, condition: Tensor | None = None) -> Tensor:
        """The outputs (B, K, T) that the network gives for codes from a recording's beginning on; float32."""
        return self._predict(self._kernel, codes_BT, condition)

    def _warm_up(self, kernel: Kernel) -> None:
        self._predict(kernel, torch.zeros(1, 0, dtype=torch.int64), None)

    def _predict(self, kernel: Kernel, codes_BT: Tensor, condition: Tensor | None) -> Tensor:
        batch, num_samples = codes_BT.shape
        drawing = self._drawing(Draw(temperature=0))
        outputs_BTK = self._outputs(batch, num_samples)
        given_BT = codes_BT.roll(-1, dims=1).cpu().numpy()  # what comes after the last input is never read
        for rows in self._rows(batch):
            group = _Group(range(batch)[rows], packing.remember(self.network, None, codes_BT[rows, :1]))
            group.run(
                kernel,
                self._packed,
                drawing,
                None if condition is None else condition[rows],
                np.zeros((len(group.rows), num_samples)),
                np.ascontiguousarray(given_BT[rows]),
                outputs_BTK[rows],
            )
        return torch.from_numpy(outputs_BTK[:, :, : self.head.num_parameters]).transpose(1, 2)

    def _outputs(self, num_clips: int, num_samples: int) -> Array:
        return np.zeros((num_clips, num_samples, packing.padded(self.head.num_parameters)), np.float32)

    def _rows(self, batch: int) -> list[slice]:
        """Rows that are generated together: as many groups as threads, and more where they would be large."""
        number = max(min(self.threads, batch), -(-batch // _GROUP))
        ends = [batch * n // number for n in range(number + 1)]
        return [slice(*pair) for pair in pairwise(ends)]

    def _drawing(self, draw: Draw) -> Drawing:
        head, kind = self.head, DISTRIBUTIONS.index(self.head.distribution)
        # An int would be another type, and be compiled for once more.
        return Drawing(
            kind, head.num_parameters, head.quantization_channels, float(draw.temperature), float(draw.top_p)
        )


class _Made(NamedTuple):
    """What a group has made."""

    codes_CN: Array
    finite: bool
    """Whether its last outputs are: bad weights show at every sample."""


class _Group:
    """Clips that go through the loop together, and where they are in time."""

    def __init__(self, rows: Sequence[int], memory: packing.Memory) -> None:
        self.rows, self.memory, self.clock = rows, memory, 0

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of its rows: the others have ended."""
        if len(rows) < len(self.rows):
            kept = [self.rows.index(row) for row in rows]
            rings, codes = self.memory
            self.rows, self.memory = rows, packing.Memory(np.ascontiguousarray(rings[:, kept]), codes[kept])

    def run(
        self,
        kernel: Kernel,
        packed: packing.Weights,
        drawing: Drawing,
        condition: Tensor | None,
        uniforms_CN: Array,
        given_CN: Array,
        outputs_CNK: Array,
    ) -> _Made:
        """As `kernels.run`, whose arguments are those of this group's rows."""
        codes_CN: Array = np.empty(uniforms_CN.shape, np.int64)
        columns = _condition_columns(condition, len(self.rows))
        kernel(
            packed, drawing, self.memory, self.clock, columns, uniforms_CN, given_CN, codes_CN, outputs_CNK
        )
        self.clock += uniforms_CN.shape[1]
        return _Made(codes_CN, bool(np.isfinite(outputs_CNK).all()))


def _condition_columns(condition: Tensor | None, num_clips: int) -> Array:
    """Columns (N, C, H), one of them where the condition is constant, none where there is no condition."""
    if condition is None:
        return np.zeros((0, num_clips, 0), np.float32)
    columns_NCH = condition.permute(2, 0, 1)
    padded_NCH = np.zeros((*columns_NCH.shape[:2], packing.padded(columns_NCH.shape[2])), np.float32)
    padded_NCH[:, :, : columns_NCH.shape[2]] = columns_NCH.numpy()
    return padded_NCH
