"""The network: causal dilated convolutions, gates, residual and skip connections (WaveNet, sections 2.1-2.5).

Shapes: B batch, T time, U the last columns of it that are asked for, P past, C channels, K head parameters, R residual,
G gate, S skip, H condition. Inside, tensors are time-major: see `layers.columns`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wavenet_pl.config.model import MAX_EMBEDDED_CODES, NetworkConfig
from wavenet_pl.layers.columns import as_BCT, as_TBC, begun, of_last, silenced
from wavenet_pl.layers.convolution import CausalConv1d, Pointwise
from wavenet_pl.layers.fused import Ask
from wavenet_pl.layers.residual import Convolution, ResidualLayer
from wavenet_pl.layers.trace import LayerTrace, Trace

__all__ = ["LayerTrace", "NetworkConfig", "State", "Trace", "WaveNet"]


State = tuple[Tensor, ...]
"""The past of every causal convolution, first convolution first: each (its context, B, its channels)."""


class WaveNet(nn.Module):
    """Predicts each sample from the samples before it (van den Oord et al., 2016).

    Args:
        config: shape of the stack of layers.
        quantization_channels: number of different codes that come in. Few have an embedding each; more than
            `MAX_EMBEDDED_CODES` come in as their amplitudes.
        decode: codes to amplitudes, as the codec does it; for more than `MAX_EMBEDDED_CODES` codes. The codec owns
            them, so they are no weights, and are not saved.
        num_parameters: outputs per sample (K), as many as the head that reads them wants.
        condition_channels: channels of the condition (H); 0 for a network without one.
        convolution: what stands in place of the dilated convolutions, to be compared with them.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        quantization_channels: int = 256,
        decode: Callable[[Tensor], Tensor] | None = None,
        num_parameters: int = 256,
        condition_channels: int = 0,
        convolution: Convolution | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.quantization_channels = quantization_channels
        self.num_parameters = num_parameters
        self.condition_channels = condition_channels
        residual, skip = config.residual_channels, config.skip_channels
        symbols = quantization_channels <= MAX_EMBEDDED_CODES
        if not symbols and decode is None:
            raise ValueError(
                f"decode is missing, expected a function from codes to amplitudes for {quantization_channels} codes; "
                "pass the codec's"
            )
        self.decode = decode
        self.recompute = False
        """Whether gates are computed again for the gradients: a fifth less memory, a quarter more time."""
        self.compiled = False
        """Whether a compiler makes the layers where gradients are wanted, so in the steps of a training."""
        self.embedding = nn.Embedding(quantization_channels, residual) if symbols else None
        self.first = CausalConv1d(residual if symbols else 1, residual, config.kernel_size, bias=config.bias)
        self.layers = nn.ModuleList(
            ResidualLayer(
                config,
                dilation=dilation,
                condition_channels=condition_channels,
                last=number == config.num_layers,
                convolution=convolution,
            )
            for number, dilation in enumerate(config.dilations, start=1)
        )
        self.hidden = Pointwise(skip, skip, config.bias)
        self.output = Pointwise(skip, num_parameters, config.bias)
        self.reset_parameters()

    @property
    def receptive_field(self) -> int:
        """How many samples one prediction depends on, the current one included."""
        layers: list[Any] = list(self.layers)
        return 1 + self.first.context + sum(layer.dilated.context for layer in layers)

    def forward(
        self,
        codes_BT: Tensor,
        condition: Tensor | None = None,
        state: State | None = None,
        *,
        last: int | None = None,
        begins_B: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """One call for a crop, a prompt or a single sample.

        Args:
            codes_BT: integers in [0, quantization_channels). Checked on the CPU only: looking at them on an
                accelerator would make every step wait. A codec and a head give no others.
            condition: (B, H, T), or (B, H, 1) for one that does not change. Column t goes with
                outputs[..., t], so it describes the sample that these predict.
            state: what the call for the samples just before returned; None where the recording begins.
            last: how many of the last columns are asked for (U); all if None. No layer computes more than they need.
            begins_B: the column where the recording of each row begins. Those before are nothing, whatever is in them.

        Returns:
            outputs (B, K, U), where outputs[..., -1] predicts the code after codes[..., -1]; the state to go on with.

        Raises:
            ValueError: codes or condition do not fit the network.
        """
        made, state = self._make(codes_BT, condition, state, last, begins_B)
        return made.outputs, state

    def trace(
        self,
        codes_BT: Tensor,
        condition: Tensor | None = None,
        take: Callable[[LayerTrace], Any] = lambda made: made,
    ) -> Trace:
        """What every layer computes of a recording's beginning; arguments as `forward`.

        Its numbers are those of `forward` but for rounding, layer by layer, however forward comes to compute them.

        Args:
            codes_BT: as in `forward`.
            condition: as in `forward`.
            take: what is kept of each layer, as soon as it is made: all of all layers is a lot of memory.

        Raises:
            ValueError: codes or condition do not fit the network.
        """
        return self._make(codes_BT, condition, take=take)[0]

    def _make(
        self,
        codes_BT: Tensor,
        condition: Tensor | None,
        state: State | None = None,
        last: int | None = None,
        begins_B: Tensor | None = None,
        *,
        take: Callable[[LayerTrace], Any] | None = None,
    ) -> tuple[Trace, State]:
        """One forward; what it makes on its way is taken where that is to be traced.

        Layers whose weights do not say all that they compute, and those that are traced, go step by step.
        """
        self._check_codes(codes_BT)
        self._check_condition(codes_BT, condition)
        num_columns, num_used = codes_BT.shape[1], self._check_last(codes_BT, last)
        layers: list[Any] = list(self.layers)
        step_by_step = take is not None or not self._is_plain()
        columns = [num_columns] * (1 + len(layers)) if step_by_step else self._columns(num_columns, num_used)
        compiled = self.compiled and torch.is_grad_enabled() and not step_by_step
        look = codes_BT.is_cpu and not compiled
        begun_MB1 = None if begins_B is None else begun(begins_B, num_columns, look)
        first_past, *pasts = state if state is not None else [None] * (1 + len(layers))
        with self._own_types(codes_BT.device) as dtype:
            condition_TBH = None if condition is None else as_TBC(condition).to(dtype).contiguous()
            first_NBR, first_past = self._embed_input(codes_BT, first_past, columns[0], begun_MB1)
            x_NBR = first_NBR.to(dtype)
            skips_UBS = self._begin_skips(num_used, x_NBR, step_by_step)
            new_state, traces = [first_past], []
            for layer, past, num_made in zip(layers, pasts, columns[1:], strict=True):
                begun_here = of_last(begun_MB1, num_columns, num_made)
                ask = Ask(num_made, num_used, begun_here, self.recompute, step_by_step, compiled)
                x_NBR, skips_UBS, condition_TBH, past, made = layer(
                    x_NBR, skips_UBS, condition_TBH, past, ask
                )
                new_state.append(past)
                if take is not None:
                    traces.append(take(LayerTrace.of(made)))
            outputs = self.project_output(skips_UBS)
            return Trace(tuple(traces), outputs), tuple(new_state)

    def _is_plain(self) -> bool:
        """Whether weights say all that the layers compute."""
        layers: list[Any] = list(self.layers)
        return all(layer.is_plain for layer in layers)

    @contextmanager
    def _own_types(self, device: torch.device) -> Iterator[torch.dtype]:
        """The type that activations have here; what has another one is said where it is made, and not by autocast."""
        dtype = self.first.weight.dtype
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
        with torch.autocast(device.type, enabled=False):
            yield dtype

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start with small outputs, so with a loss near that of uniform noise, whatever the depth."""
        # On the meta device, where nothing has a value, torch would load its compiler for this.
        if self.embedding is not None and not self.embedding.weight.is_meta:
            self.embedding.weight.copy_(_sines(*self.embedding.weight.shape))
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv1d):
                # Residuals and skips are summed over the layers: the sum should have the size of one term.
                num_terms = len(self.layers) if name.endswith((".residual", ".skip")) else 1
                nn.init.normal_(module.weight, std=(module.weight[0].numel() * num_terms) ** -0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.embedding is None:
            self.first.weight.mul_(10)  # audio has an RMS near 0.1, and an embedding of 1

    def numbers_kept(self, num_columns: int, num_used: int) -> int:
        """How many numbers of each row are there at most: what a forward keeps, and the first gradients beside it."""
        config = self.config
        first, *columns = self._columns(num_columns, num_used)
        inputs = (num_columns + sum((first, *columns[:-1]))) * config.residual_channels
        gates = 0 if self.recompute else sum(columns) * config.gate_channels
        outputs = num_used * self.num_parameters
        kept = inputs + gates + outputs + 4 * num_used * config.skip_channels
        return kept + 2 * outputs  # the gradients that are there before anything is freed

    def _columns(self, num_columns: int, num_used: int) -> list[int]:
        """How many columns the first convolution and each layer make: what those after it read, as far as there is."""
        layers: list[Any] = list(self.layers)
        contexts = [layer.dilated.context for layer in layers]
        needed = [num_used + sum(contexts[number:]) for number in range(len(contexts) + 1)]
        return [min(number, num_columns) for number in needed]

    def _embed_input(
        self, codes_BT: Tensor, past_PBC: Tensor | None, num_made: int, begun_MB1: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What the first convolution makes of the codes (N, B, R), and its past for next time."""
        if self.embedding is not None:
            x_TBC = self.embedding(codes_BT.t())
        else:
            assert self.decode is not None
            x_TBC = self.decode(codes_BT.t()).to(self.first.weight.dtype)[:, :, None]
        x_TBC = silenced(x_TBC, begun_MB1)
        # In the type of the weights: bfloat16 has room for 8 bits of an amplitude.
        x_NBR, past_PBC = self.first(x_TBC, past_PBC, num_made)
        x_NBR = silenced(x_NBR, of_last(begun_MB1, codes_BT.shape[1], num_made))
        return x_NBR, past_PBC

    def _begin_skips(self, num_used: int, x_NBR: Tensor, step_by_step: bool) -> Tensor:
        """The sum of skips before the first (U, B, S): of their biases, where modules do not add them themselves."""
        begin_S = x_NBR.new_zeros(self.config.skip_channels)
        if self.config.bias and not step_by_step:
            layers: list[Any] = list(self.layers)
            # Not the sum of a stack: its gradients would all be one piece of memory, and be changed in place as often.
            begin_S = sum((layer.skip.bias for layer in layers), begin_S).to(x_NBR.dtype)
        return begin_S.expand(num_used, x_NBR.shape[1], -1).clone(memory_format=torch.contiguous_format)

    def project_output(self, skips_UBS: Tensor) -> Tensor:
        """The outputs (B, K, U) of the sum of all skips (U, B, S).

        Where amplitudes come in, amplitudes are predicted, and need their bits as well.
        """
        if self.config.skip_scale != 1:
            skips_UBS = skips_UBS * self.config.skip_scale
        hidden_UBS = torch.relu(self.hidden(torch.relu(skips_UBS)))
        if self.embedding is None:
            hidden_UBS = hidden_UBS.to(self.output.weight.dtype)
        return as_BCT(self.output(hidden_UBS))

    def _check_codes(self, codes_BT: Tensor) -> None:
        if codes_BT.ndim != 2 or codes_BT.shape[1] == 0 or codes_BT.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"codes are {codes_BT.dtype} of shape {tuple(codes_BT.shape)}, expected int64 of shape "
                "(batch, time) with at least one sample; encode audio with the codec first"
            )
        if codes_BT.is_cpu:
            lowest, highest = (int(code) for code in codes_BT.aminmax())
            if lowest < 0 or highest >= self.quantization_channels:
                raise ValueError(
                    f"codes go from {lowest} to {highest}, expected 0 to {self.quantization_channels - 1}; "
                    "encode audio with a codec of as many codes as the network has"
                )

    def _check_condition(self, codes_BT: Tensor, condition: Tensor | None) -> None:
        if condition is None and self.condition_channels == 0:
            return
        description = "missing" if condition is None else f"of shape {tuple(condition.shape)}"
        if self.condition_channels == 0:
            raise ValueError(
                f"condition is {description}, expected none; leave it out or set condition_channels"
            )
        (batch, time), channels = codes_BT.shape, self.condition_channels
        if condition is None or tuple(condition.shape) not in {(batch, channels, time), (batch, channels, 1)}:
            raise ValueError(
                f"condition is {description}, expected shape ({batch}, {channels}, {time}) or "
                f"({batch}, {channels}, 1); make it from the same batch, cut to the same samples as the codes"
            )

    def _check_last(self, codes_BT: Tensor, last: int | None) -> int:
        num_columns = codes_BT.shape[1]
        if last is not None and not 0 < last <= num_columns:
            raise ValueError(f"last is {last}, expected 1 to {num_columns}, the columns of the codes")
        return num_columns if last is None else last


def _sines(num_codes: int, channels: int) -> Tensor:
    """How embeddings (codes, channels) begin: waves of the code, so that neighbours are alike, and no two the same.

    The longest wave is four times all codes, the shortest eight codes.
    """
    position_Q1 = torch.linspace(-1, 1, num_codes)[:, None]
    cycles = torch.logspace(math.log10(0.125), math.log10(num_codes / 16), (channels + 1) // 2)
    phase = 2 * math.pi * cycles * position_Q1
    return math.sqrt(2) * torch.cat([phase.sin(), phase.cos()], dim=1)[:, :channels]
