"""The models: one for each kind of condition, and the trainer is the same."""

from __future__ import annotations

from wavenet_pl.conditioning import Conditioner, build_conditioner
from wavenet_pl.config import Config, ModelConfig
from wavenet_pl.labels import Labels
from wavenet_pl.modules import WaveNetModule


class UnconditionalWaveNet(WaveNetModule):
    """Audio, given nothing but its past."""

    def build_conditioner(self, config: ModelConfig) -> None:
        """None."""
        return


class SpeakerWaveNet(WaveNetModule):
    """A voice that is named (WaveNet, section 3.1), or whose mel frames are given, which makes it a vocoder."""

    def build_conditioner(self, config: ModelConfig) -> Conditioner:
        """A speaker table, mel frames, or both."""
        return build_conditioner(config.inputs, config.condition, self.labels)


class MusicWaveNet(WaveNetModule):
    """Music with these tags (WaveNet, section 3.3), of these notes (MAESTRO, Hawthorne et al., 2019), or both."""

    def build_conditioner(self, config: ModelConfig) -> Conditioner:
        """A tag table, notes, mel frames, or some of them."""
        return build_conditioner(config.inputs, config.condition, self.labels)


MODULES: dict[str, type[WaveNetModule]] = {
    "unconditional": UnconditionalWaveNet,
    "speaker": SpeakerWaveNet,
    "music": MusicWaveNet,
}
"""model.kind -> its module."""


def build_module(
    config: Config, *, sample_rate: int, index_fingerprint: str = "", labels: Labels | None = None
) -> WaveNetModule:
    """The module that the config asks for; arguments as `WaveNetModule`."""
    module = MODULES[config.model.kind]
    return module(config, sample_rate=sample_rate, index_fingerprint=index_fingerprint, labels=labels)
