"""Settings of the model: everything that its weights depend on."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Literal

from wavenet_pl.config.mistakes import check


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of the network (WaveNet, sections 2.1 to 2.4)."""

    stacks: int = 3
    """How often the cycle of dilations is repeated."""
    layers_per_stack: int = 10
    """Dilations in one stack are 1, 2, 4, ... 2 ** (layers_per_stack - 1)."""
    kernel_size: int = 2
    """Taps of every dilated convolution, the current sample's included."""
    residual_channels: int = 64
    """Width of the path from layer to layer."""
    gate_channels: int = 128
    """Width inside a layer, filter and gate together: half each, so an even number."""
    skip_channels: int = 128
    """Width of the sum of all layers' outputs, and of the hidden layer after it."""
    bias: bool = True
    """Whether the convolutions have biases."""
    residual_scale: float = 1.0
    """Factor on input + residual after each layer; 0.7071 keeps the variance from growing."""
    skip_scale: float = 1.0
    """Factor on the sum of all skips; 1 / sqrt(number of layers) keeps its variance near that of one."""
    dropout: float = 0.0
    """Share of each layer's input that is zeroed in training."""

    def __post_init__(self) -> None:
        for name in ("stacks", "layers_per_stack", "residual_channels", "skip_channels"):
            check(self, name, getattr(self, name) >= 1, "1 or more")
        check(self, "stacks", self.stacks <= 1000, "1000 or less: each layer is built and listed")
        check(
            self,
            "layers_per_stack",
            self.layers_per_stack <= 24,
            "24 or less: each layer doubles the dilation",
        )
        check(self, "kernel_size", self.kernel_size >= 2, "2 or more: with 1 no layer sees the past")
        even = max(2, self.gate_channels // 2 * 2)
        check(
            self,
            "gate_channels",
            self.gate_channels == even,
            f"an even number from 2 on, as filter and gate take half each; use {even}",
        )
        for name in ("residual_scale", "skip_scale"):
            check(self, name, 0 < getattr(self, name) < math.inf, "a finite number above 0")
        check(self, "dropout", 0 <= self.dropout < 1, "a share from 0 to less than 1")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of every layer, in order."""
        return tuple(2**layer for _ in range(self.stacks) for layer in range(self.layers_per_stack))

    @property
    def num_layers(self) -> int:
        """How many dilated layers there are."""
        return self.stacks * self.layers_per_stack

    @property
    def receptive_field(self) -> int:
        """How many samples one prediction depends on, the current one included."""
        return 1 + (self.kernel_size - 1) * (1 + sum(self.dilations))


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,99}")
DEFAULT_INPUTS: dict[str, tuple[str, ...]] = {
    "unconditional": (),
    "speaker": ("speaker",),
    "music": ("tags",),
}
"""model.kind -> the inputs of a model of that kind by default. Only unconditional models refuse any."""


@dataclass(frozen=True, kw_only=True)
class ConditionConfig:
    """What the network is conditioned on, beside the audio."""

    inputs: tuple[str, ...] = ()
    """Names: speaker, tags, notes, mel, and tables or frames of your own; empty for the kind's default."""
    channels: int = 64
    """Width of the condition, in which all inputs are summed."""
    frame_layers: int = 3
    """Convolutions over frames of local inputs, three wide and dilated by 1, 2, 4, ..."""
    upsampling: Literal["repeat", "transposed"] = "repeat"
    """From frames to samples: each repeated, or a learned transposed convolution."""

    def __post_init__(self) -> None:
        check(self, "channels", self.channels >= 1, "1 or more")
        check(
            self, "frame_layers", 0 <= self.frame_layers <= 10, "0 to 10: each layer doubles the look-ahead"
        )

    @property
    def frame_context(self) -> int:
        """Frames before and after its own that a sample's condition depends on: the look-ahead of local inputs."""
        return 2**self.frame_layers - 1 + (self.upsampling == "transposed")


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The distribution of the next code."""

    kind: Literal["softmax", "logistics"] = "softmax"
    """Softmax over all codes, or a discretised mixture of logistics (PixelCNN++; Parallel WaveNet, section 2.1)."""
    mixtures: int | None = None
    """Logistics in the mixture of kind logistics; null for 10."""

    def __post_init__(self) -> None:
        if self.kind == "softmax":
            unused = "null, as only kind logistics uses it, and kind is softmax; remove it"
            check(self, "mixtures", self.mixtures is None, unused, "kind")
            return
        if self.mixtures is None:
            object.__setattr__(self, "mixtures", 10)
        assert self.mixtures is not None
        check(self, "mixtures", 1 <= self.mixtures <= 100, "1 to 100")

    @property
    def supports_top_p(self) -> bool:
        """Whether draws can be from the likeliest codes only: of a mixture these are no simple set."""
        return self.kind != "logistics"


MAX_EMBEDDED_CODES = 1024
"""So many codes at most are symbols: each with an embedding, a softmax output and counts of its own."""
SIXTEEN_BITS = 2**16
"""The one larger number of codes: these are known by their amplitudes."""


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """How audio becomes codes."""

    kind: Literal["mu-law", "linear"] = "mu-law"
    """Mu-law companding (WaveNet, section 2.2), or equal steps."""
    quantization_channels: int = 256
    """Number of codes; 65536 of kind linear are 16-bit audio as it is."""

    def __post_init__(self) -> None:
        number = self.quantization_channels
        expected = f"2 to {MAX_EMBEDDED_CODES}, or {SIXTEEN_BITS} with kind=linear for 16-bit audio"
        good = 2 <= number <= MAX_EMBEDDED_CODES or (number, self.kind) == (SIXTEEN_BITS, "linear")
        check(self, "quantization_channels", good, expected, "kind")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The model: everything that a checkpoint's weights depend on."""

    kind: Literal["unconditional", "speaker", "music"] = "unconditional"
    """What the model is conditioned on."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Shape of the network."""
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    """What the network is conditioned on, beside the audio."""
    head: HeadConfig = field(default_factory=HeadConfig)
    """The distribution of the next code."""
    codec: CodecConfig = field(default_factory=CodecConfig)
    """How audio becomes codes."""

    def __post_init__(self) -> None:
        few = (
            f"{MAX_EMBEDDED_CODES} or less, as a softmax has an output for each; "
            "choose model.head.kind=logistics for more"
        )
        good = self.head.kind != "softmax" or self.codec.quantization_channels <= MAX_EMBEDDED_CODES
        check(self, "codec.quantization_channels", good, few, "head.kind")
        if self.kind == "unconditional":
            unused = f"nothing, as a model of kind {self.kind} has no condition; remove the setting"
            for name, value in asdict(ConditionConfig()).items():
                check(self, f"condition.{name}", getattr(self.condition, name) == value, unused, "kind")
        given = self.condition.inputs
        good = len(set(given)) == len(given) and all(
            re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]{0,99}", each) for each in given
        )
        expected = "names of inputs such as speaker, tags, notes or mel, each once"
        check(self, "condition.inputs", good, expected, "kind")

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the model is conditioned on, beside the audio."""
        return self.condition.inputs or DEFAULT_INPUTS[self.kind]

    @property
    def condition_channels(self) -> int:
        """Width of the condition; 0 for none."""
        return self.condition.channels if self.inputs else 0
