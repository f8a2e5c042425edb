"""The fast engine on CPUs: one compiled loop over all layers, the draw inside it, a thread for each group of clips.

Shapes: B batch, C clips of one thread, T time, N new samples, K head parameters, H condition.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
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
from wavenet_pl.generation.fused_cpu import draws, kernels, packing, vectors
from wavenet_pl.generation.fused_cpu.fitness import DISTRIBUTIONS
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
                rows,
                max(job.lengths[rows]),
                packing.remember(self.network, [past_PBR[:, rows] for past_PBR in state], job.inputs[rows]),
            )
            for rows in self._rows(batch)
        ]
        outputs_B1K = np.zeros((batch, 1, packing.padded(self.head.num_parameters)), np.float32)
        with ThreadPoolExecutor(max(1, self.threads - 1)) as pool:
            for start, stop in job.chunks:
                codes_BN = np.full((batch, stop - start), job.silence_code)
                steps = [
                    partial(
                        group.run,
                        self._kernel,
                        self._packed,
                        drawing,
                        job.columns(start, stop, group.numbers),
                        job.draw.uniforms(start, stop, group.numbers),
                        np.empty((len(group.numbers), 0), np.int64),
                        codes_BN,
                        outputs_B1K,
                    )
                    for group in groups
                    if group.length > start
                ]
                # A share of them here: handing one over takes as long as many samples.
                work = [pool.submit(step) for number, step in enumerate(steps) if number % self.threads]
                for step in steps[:: self.threads]:
                    step()
                for each in work:
                    each.result()
                if not np.isfinite(outputs_B1K).all():
                    raise not_finite(stop - 1)
                yield torch.from_numpy(codes_BN)

    def predict(self, codes_BT: Tensor, condition: Tensor | None = None) -> Tensor:
        """The outputs (B, K, T) that the network gives for codes from a recording's beginning on; float32."""
        return self._predict(self._kernel, codes_BT, condition)

    def _warm_up(self, kernel: Kernel) -> None:
        self._predict(kernel, torch.zeros(1, 0, dtype=torch.int64), None)

    def _predict(self, kernel: Kernel, codes_BT: Tensor, condition: Tensor | None) -> Tensor:
        batch, num_samples = codes_BT.shape
        drawing = self._drawing(Draw(temperature=0))
        outputs_BTK = np.empty((batch, num_samples, packing.padded(self.head.num_parameters)), np.float32)
        given_BT = codes_BT.roll(-1, dims=1).cpu().numpy()  # what comes after the last input is never read
        for rows in self._rows(batch):
            group = _Group(rows, num_samples, packing.remember(self.network, None, codes_BT[rows, :1]))
            uniforms_BT, codes = np.zeros((batch, num_samples)), np.empty((batch, num_samples), np.int64)
            group.run(
                kernel,
                self._packed,
                drawing,
                None if condition is None else condition[rows],
                uniforms_BT[rows],
                given_BT[rows],
                codes,
                outputs_BTK,
            )
        return torch.from_numpy(outputs_BTK[:, :, : self.head.num_parameters]).transpose(1, 2)

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


class _Group:
    """Clips that go through the loop together, and where they are in time."""

    def __init__(self, rows: slice, length: int, memory: packing.Memory) -> None:
        self.rows, self.length, self.memory, self.clock = rows, length, memory, 0
        self.numbers = range(rows.start, rows.stop)

    def run(
        self,
        kernel: Kernel,
        packed: packing.Weights,
        drawing: Drawing,
        condition: Tensor | None,
        uniforms_CN: Array,
        given_CN: Array,
        codes_BN: Array,
        outputs_BNK: Array,
    ) -> None:
        """As `kernels.run`, for this group; of codes and outputs its rows are filled."""
        codes_CN = np.empty((len(self.numbers), codes_BN.shape[1]), np.int64)
        kernel(
            packed,
            drawing,
            self.memory,
            self.clock,
            _condition_columns(condition, len(self.numbers)),
            np.ascontiguousarray(uniforms_CN),
            np.ascontiguousarray(given_CN),
            codes_CN,
            outputs_BNK[self.rows],
        )
        codes_BN[self.rows] = codes_CN
        self.clock += codes_CN.shape[1]


def _condition_columns(condition: Tensor | None, num_clips: int) -> Array:
    """Columns (N, C, H), one of them where the condition is constant, none where there is no condition."""
    if condition is None:
        return np.zeros((0, num_clips, 0), np.float32)
    columns_NCH = condition.permute(2, 0, 1)
    padded_NCH = np.zeros((*columns_NCH.shape[:2], packing.padded(columns_NCH.shape[2])), np.float32)
    padded_NCH[:, :, : columns_NCH.shape[2]] = columns_NCH.numpy()
    return padded_NCH
