"""The network: causal dilated convolutions, gates, residual and skip connections (WaveNet, sections 2.1-2.5).

Shapes: B batch, C channels, T time, P past, K head parameters, R residual, G gate, S skip, H condition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wavenet_pl.config.model import MAX_EMBEDDED_CODES, NetworkConfig

__all__ = ["CausalConv1d", "LayerTrace", "NetworkConfig", "ResidualLayer", "State", "Trace", "WaveNet"]


class LayerTrace(NamedTuple):
    """What one layer makes on the way of a forward."""

    filter: Tensor
    """(B, G / 2, T) after its tanh."""
    gate: Tensor
    """(B, G / 2, T) after its sigmoid."""
    gated: Tensor
    """(B, G / 2, T) their product."""
    residual: Tensor | None
    """(B, R, T) what is added to the layer's input; None in the last layer, whose sum nobody would read."""
    skip: Tensor
    """(B, S, T) what goes to the outputs."""


class Trace(NamedTuple):
    """All that one forward computes on its way; see `WaveNet.trace`."""

    first: Tensor
    """(B, R, T) what the first convolution makes of the codes: the first layer's input."""
    layers: tuple[LayerTrace, ...]
    outputs: Tensor
    """(B, K, T) as `WaveNet.forward` gives them."""


State = tuple[Tensor, ...]
"""The past of every causal convolution, first convolution first: each (B, its channels, its context)."""


class CausalConv1d(nn.Conv1d):
    """Convolution over time that sees the present and the past, never the future.

    The past is an argument: ``forward`` takes the ``context`` samples before ``x`` and returns the ones to
    pass next time. No past means that the recording begins here: zeros. So training on a crop, absorbing a
    prompt and generating one sample at a time are the same computation, and no buffer has to be cleared.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, bias=bias)
        self.context = (kernel_size - 1) * dilation

    def forward(  # type: ignore[override]  # a past goes in and comes out
        self, x_BCT: Tensor, past_BCP: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if past_BCP is None:
            past_BCP = x_BCT.new_zeros(*x_BCT.shape[:2], self.context)
        assert past_BCP.shape[2] == self.context, (past_BCP.shape, self.context)
        x_BCT = torch.cat([past_BCP, x_BCT], dim=2)
        past_BCP = x_BCT[:, :, -self.context :]
        if x_BCT.shape[2] > 2 * self.context:
            past_BCP = past_BCP.clone()  # a view would keep all of a long prompt alive
        if x_BCT.shape[2] > self.context + 1:
            return super().forward(x_BCT), past_BCP
        # One output is one matrix product, and several times faster as such than as a dilated convolution.
        taps_BCN = x_BCT[:, :, :: self.dilation[0]]
        return F.linear(taps_BCN.flatten(1), self.weight.flatten(1), self.bias)[:, :, None], past_BCP


class ResidualLayer(nn.Module):
    """One dilated convolution with its gate, and its residual and skip outputs.

    Dropout, in training only, is on what the dilated convolution reads; the residual path stays whole.
    """

    def __init__(
        self, config: NetworkConfig, *, dilation: int, condition_channels: int = 0, last: bool = False
    ) -> None:
        super().__init__()
        residual, gate, bias = config.residual_channels, config.gate_channels, config.bias
        self.residual_scale = config.residual_scale
        self.dropout = nn.Dropout(config.dropout)
        self.dilated = CausalConv1d(residual, gate, config.kernel_size, dilation, bias)
        # The dilated convolution's bias serves the condition as well.
        self.condition = nn.Conv1d(condition_channels, gate, 1, bias=False) if condition_channels else None
        # Nothing would read the last layer's residual: its weights would get no gradient, and DDP would stop.
        self.residual = None if last else nn.Conv1d(gate // 2, residual, 1, bias=bias)
        self.skip = nn.Conv1d(gate // 2, config.skip_channels, 1, bias=bias)

    def forward(
        self, x_BRT: Tensor, condition_BHT: Tensor | None, past_BRP: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next layer's input (B, R, T), this layer's skip (B, S, T), and the past for next time."""
        made, past_BRP = self.trace(x_BRT, condition_BHT, past_BRP)
        return self.add(x_BRT, made.residual), made.skip, past_BRP

    def trace(
        self, x_BRT: Tensor, condition_BHT: Tensor | None, past_BRP: Tensor | None
    ) -> tuple[LayerTrace, Tensor]:
        """All that the layer makes, and the past for next time."""
        z_BGT, past_BRP = self.dilated(self.dropout(x_BRT), past_BRP)
        if self.condition is not None:
            z_BGT = z_BGT + self.condition(condition_BHT)  # a global condition has T = 1
        filter_BGT, gate_BGT = z_BGT.chunk(2, dim=1)
        filter_BGT, gate_BGT = torch.tanh(filter_BGT), torch.sigmoid(gate_BGT)
        gated_BGT = filter_BGT * gate_BGT
        residual_BRT = None if self.residual is None else self.residual(gated_BGT)
        return LayerTrace(filter_BGT, gate_BGT, gated_BGT, residual_BRT, self.skip(gated_BGT)), past_BRP

    def add(self, x_BRT: Tensor, residual_BRT: Tensor | None) -> Tensor:
        """The next layer's input (B, R, T)."""
        if residual_BRT is None:
            return x_BRT
        x_BRT = x_BRT + residual_BRT
        return x_BRT if self.residual_scale == 1 else x_BRT * self.residual_scale


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
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        quantization_channels: int = 256,
        decode: Callable[[Tensor], Tensor] | None = None,
        num_parameters: int = 256,
        condition_channels: int = 0,
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
        self.embedding = nn.Embedding(quantization_channels, residual) if symbols else None
        self.first = CausalConv1d(residual if symbols else 1, residual, config.kernel_size, bias=config.bias)
        self.layers = nn.ModuleList(
            ResidualLayer(
                config,
                dilation=dilation,
                condition_channels=condition_channels,
                last=number == config.num_layers,
            )
            for number, dilation in enumerate(config.dilations, start=1)
        )
        self.hidden = nn.Conv1d(skip, skip, 1, bias=config.bias)
        self.output = nn.Conv1d(skip, num_parameters, 1, bias=config.bias)
        self.reset_parameters()

    @property
    def receptive_field(self) -> int:
        """How many samples one prediction depends on, the current one included."""
        return self.config.receptive_field

    def forward(
        self, codes_BT: Tensor, condition: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """One call for a crop, a prompt or a single sample.

        Args:
            codes_BT: integers in [0, quantization_channels). Checked on the CPU only: looking at them on an
                accelerator would make every step wait. A codec and a head give no others.
            condition: (B, H, T), or (B, H, 1) for one that does not change. Column t goes with
                outputs[..., t], so it describes the sample that these predict.
            state: what the call for the samples just before returned; None where the recording begins.

        Returns:
            outputs (B, K, T), where outputs[..., t] predicts codes[..., t + 1], and the state to go on with.

        Raises:
            ValueError: codes or condition do not fit the network.
        """
        self._check_codes(codes_BT)
        self._check_condition(codes_BT, condition)
        first_past, *pasts = state if state is not None else [None] * (1 + len(self.layers))
        x_BRT, first_past = self._embed_input(codes_BT, first_past)
        new_state = [first_past]
        skips_BST = x_BRT.new_zeros(())
        for layer, past in zip(self.layers, pasts, strict=True):
            x_BRT, skip_BST, past = layer(x_BRT, condition, past)
            skips_BST = skips_BST + skip_BST
            new_state.append(past)
        return self._project_output(skips_BST), tuple(new_state)

    def trace(self, codes_BT: Tensor, condition: Tensor | None = None) -> Trace:
        """What every layer computes of a recording's beginning; arguments as `forward`.

        Its numbers are those of `forward`, layer by layer, however forward may come to compute them.

        Raises:
            ValueError: codes or condition do not fit the network.
        """
        self._check_codes(codes_BT)
        self._check_condition(codes_BT, condition)
        x_BRT, _ = self._embed_input(codes_BT, None)
        first_BRT, made = x_BRT, []
        for layer in self.layers:
            assert isinstance(layer, ResidualLayer)
            each, _ = layer.trace(x_BRT, condition, None)
            x_BRT = layer.add(x_BRT, each.residual)
            made.append(each)
        skips_BST = x_BRT.new_zeros(())
        for each in made:
            skips_BST = skips_BST + each.skip
        return Trace(first_BRT, tuple(made), self._project_output(skips_BST))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start with small outputs, so with a loss near that of uniform noise, whatever the depth."""
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv1d):
                # Residuals and skips are summed over the layers: the sum should have the size of one term.
                num_terms = len(self.layers) if name.endswith((".residual", ".skip")) else 1
                nn.init.normal_(module.weight, std=(module.weight[0].numel() * num_terms) ** -0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.embedding is None:
            self.first.weight.mul_(10)  # audio has an RMS near 0.1, and an embedding of 1

    def _embed_input(self, codes_BT: Tensor, past_BCP: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the first convolution makes of the codes (B, R, T), and its past for next time."""
        if self.embedding is not None:
            return self.first(self.embedding(codes_BT).transpose(1, 2), past_BCP)
        assert self.decode is not None
        # bfloat16 has room for 8 bits of an amplitude.
        with torch.autocast(codes_BT.device.type, enabled=False):
            amplitudes_BT = self.decode(codes_BT).to(self.first.weight.dtype)
            return self.first(amplitudes_BT[:, None], past_BCP)

    def _project_output(self, skips_BST: Tensor) -> Tensor:
        """The outputs (B, K, T). Where amplitudes come in, amplitudes are predicted, and need their bits as well."""
        if self.config.skip_scale != 1:
            skips_BST = skips_BST * self.config.skip_scale
        hidden_BST = torch.relu(self.hidden(torch.relu(skips_BST)))
        if self.embedding is not None:
            return self.output(hidden_BST)
        with torch.autocast(hidden_BST.device.type, enabled=False):
            return self.output(hidden_BST.to(self.output.weight.dtype))

    def _check_codes(self, codes_BT: Tensor) -> None:
        if codes_BT.ndim != 2 or codes_BT.shape[1] == 0 or codes_BT.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"codes are {codes_BT.dtype} of shape {tuple(codes_BT.shape)}, expected int64 of shape "
                "(batch, time) with at least one sample; encode audio with the codec first"
            )
        if codes_BT.is_cpu and not torch.compiler.is_compiling():
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
