"""The fast engine on CPUs: one compiled loop over all layers, the draw inside it, a thread for each group of clips.

Shapes: B batch, C clips of one thread, T time, N new samples, K head parameters, H condition.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl import logistics
from wavenet_pl.generation import kernels, packing
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.reference import check_finite, columns, first_inputs, inference
from wavenet_pl.heads import Head, LogisticsHead
from wavenet_pl.network import State, WaveNet

Array = npt.NDArray[Any]
_GROUP = 32  # clips that share one reading of the weights: their numbers stay in the nearest caches


class Drawing(NamedTuple):
    """What the compiled draw reads."""

    kind: int
    """0 for a softmax, 1 for a mixture of logistics."""
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
        weights: float32, or int8 with a scale for each channel.
        threads: at most so many groups of clips are generated at a time.
    """

    def __init__(
        self, network: WaveNet, head: Head, *, weights: packing.WeightType = "float32", threads: int = 1
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads is {threads}, expected 1 or more")
        self.network, self.head, self.threads = network, head, threads
        self._weight_type = weights
        self._weights = packing.pack(network, weights)
        begin = time.perf_counter()
        self.predict(torch.zeros(1, 0, dtype=torch.int64))
        self.load_seconds = time.perf_counter() - begin
        """What compiling took, or loading what was compiled before."""

    @property
    def bytes_per_clip(self) -> int:
        """Memory that each clip of a batch takes."""
        config = self.network.config
        residual = packing.padded(config.residual_channels)
        return 4 * residual * (config.kernel_size - 1) * sum(config.dilations)

    def refresh(self) -> None:
        """Take the network's weights as they are now."""
        for array, new in zip(self._weights, packing.pack(self.network, self._weight_type), strict=True):
            if isinstance(array, np.ndarray):
                array[...] = new

    def stream(
        self,
        draw: Draw,
        num_samples: int,
        *,
        silence_code: int,
        prompt_BT: Tensor | None = None,
        condition: Tensor | None = None,
        chunk: int = 1000,
    ) -> Iterator[Tensor]:
        """As `reference.stream`; the codes are on the CPU."""
        inputs_BT, condition = first_inputs(
            self.network,
            self.head,
            draw,
            num_samples,
            silence_code=silence_code,
            prompt_BT=prompt_BT,
            condition=condition,
            chunk=chunk,
        )
        return self._generate(draw, num_samples, inputs_BT, condition, chunk)

    def predict(self, codes_BT: Tensor, condition: Tensor | None = None) -> Tensor:
        """The outputs (B, K, T) that the network gives for codes from a recording's beginning on; float32."""
        batch, num_samples = codes_BT.shape
        drawing = self._drawing(Draw(temperature=0))
        outputs_BTK = np.empty((batch, num_samples, packing.padded(self.head.num_parameters)), np.float32)
        given_BT = codes_BT.roll(-1, dims=1).cpu().numpy()  # what comes after the last input is never read
        for rows in self._groups(batch):
            group = _Group(self.network, codes_BT[rows, :1], None)
            told_NCH = _told(condition, rows, 0, num_samples)
            uniforms_CN = np.zeros((rows.stop - rows.start, num_samples))
            group.run(self._weights, drawing, told_NCH, uniforms_CN, given_BT[rows], outputs_BTK[rows])
        return torch.from_numpy(outputs_BTK[:, :, : self.head.num_parameters]).transpose(1, 2)

    def _generate(
        self, draw: Draw, num_samples: int, inputs_BT: Tensor, condition: Tensor | None, chunk: int
    ) -> Iterator[Tensor]:
        drawing, batch, known = self._drawing(draw), len(draw.clips), inputs_BT.shape[1] - 1
        row_groups = self._groups(batch)
        groups = [
            _Group(self.network, inputs_BT[rows], None if condition is None else condition[rows])
            for rows in row_groups
        ]
        outputs_B1K = np.empty((batch, 1, packing.padded(self.head.num_parameters)), np.float32)
        with ThreadPoolExecutor(min(self.threads, len(groups))) as pool:
            for start in range(0, num_samples, chunk):
                stop = min(start + chunk, num_samples)
                uniforms_BN = draw.uniforms(start, stop)

                def work(group: _Group, rows: slice) -> Array:
                    told_NCH = _told(condition, rows, known + start, known + stop)
                    given_CN = np.empty((rows.stop - rows.start, 0), np.int64)
                    return group.run(
                        self._weights, drawing, told_NCH, uniforms_BN[rows], given_CN, outputs_B1K[rows]
                    )

                codes_BN = np.concatenate(list(pool.map(work, groups, row_groups)))
                check_finite(torch.from_numpy(outputs_B1K), stop - 1)
                yield torch.from_numpy(codes_BN)

    def _groups(self, batch: int) -> list[slice]:
        """Rows that are generated together: as many groups as threads, and more where they would be large."""
        number = max(min(self.threads, batch), -(-batch // _GROUP))
        ends = [batch * n // number for n in range(number + 1)]
        return [slice(*pair) for pair in zip(ends, ends[1:])]

    def _drawing(self, draw: Draw) -> Drawing:
        if isinstance(self.head, LogisticsHead):
            levels = self.head.quantization_channels
            return Drawing(1, self.head.num_parameters, levels, draw.temperature, draw.top_p)
        number = self.head.num_parameters
        return Drawing(0, number, number, draw.temperature, draw.top_p)


class _Group:
    """Clips that go through the loop together, and where they are in time."""

    def __init__(self, network: WaveNet, inputs_CT: Tensor, condition: Tensor | None) -> None:
        self.clock = 0
        begin = max(0, inputs_CT.shape[1] - network.receptive_field)
        condition = columns(condition, begin, inputs_CT.shape[1] - 1)
        inputs_CT = inputs_CT[:, begin:]
        self.memory = packing.remember(network, _state(network, inputs_CT[:, :-1], condition), inputs_CT)

    def run(
        self,
        weights: packing.Weights,
        drawing: Drawing,
        told_NCH: Array,
        uniforms_CN: Array,
        given_CN: Array,
        outputs_CNK: Array,
    ) -> Array:
        """The codes of as many samples as there are uniforms; arguments as in `kernels.run`."""
        codes_CN = np.empty(uniforms_CN.shape, np.int64)
        kernels.run(
            weights,
            drawing,
            self.memory,
            self.clock,
            told_NCH,
            uniforms_CN,
            given_CN,
            codes_CN,
            outputs_CNK,
        )
        self.clock += uniforms_CN.shape[1]
        return codes_CN


def _state(network: WaveNet, prompt_CT: Tensor, condition: Tensor | None) -> State | None:
    """The state after a prompt: each row by itself, for in a batch torch rounds differently; equal rows once."""
    if prompt_CT.shape[1] == 0:
        return None
    known: list[tuple[Tensor, Tensor | None, State]] = []
    states = []
    for row in range(prompt_CT.shape[0]):
        codes, told = prompt_CT[row : row + 1], None if condition is None else condition[row : row + 1]
        for other_codes, other_told, state in known:
            if torch.equal(codes, other_codes) and (told is None or torch.equal(told, other_told)):
                break
        else:
            with inference(network):
                _, state = network(codes, told)
            known.append((codes, told, state))
        states.append(state)
    return tuple(torch.cat(pasts) for pasts in zip(*states, strict=True))


def _told(condition: Tensor | None, rows: slice, start: int, stop: int) -> Array:
    """Columns (N, C, H), one of them where the condition is global, none where there is no condition."""
    if condition is None:
        return np.zeros((0, rows.stop - rows.start, 0), np.float32)
    columns_CHN = columns(condition[rows], start, stop).to("cpu", torch.float32)
    told_NCH = np.zeros(
        (columns_CHN.shape[2], columns_CHN.shape[0], packing.padded(columns_CHN.shape[1])), np.float32
    )
    told_NCH[:, :, : columns_CHN.shape[1]] = columns_CHN.permute(2, 0, 1).numpy()
    return told_NCH
