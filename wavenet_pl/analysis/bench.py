"""A model on the bench: real audio for it, and the networks that it is held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from wavenet_pl.analysis.controls import CONTROLS
from wavenet_pl.analysis.material import TooShort, Windows, read_windows
from wavenet_pl.analysis.options import AnalysisOptions
from wavenet_pl.model import Model
from wavenet_pl.network import WaveNet
from wavenet_pl.shards.split import Split

TRAINED = "trained"


@dataclass(frozen=True)
class Specimen:
    """A network that is probed."""

    kind: str
    """`TRAINED`, or one of `controls.CONTROLS`."""
    seed: int
    network: WaveNet


@dataclass
class Bench:
    """What all probes are made with."""

    model: Model
    split: Split
    """Recordings in the rows of the model."""
    options: AnalysisOptions
    _windows: dict[tuple[int, int], Windows] = field(default_factory=dict)

    @property
    def specimens(self) -> Iterator[Specimen]:
        """The trained network, then controls of each kind; each is made when it is its turn."""
        network = self.model.network
        yield Specimen(TRAINED, self.options.seed, network)
        for kind, make in CONTROLS.items():
            for number in range(self.options.control_seeds):
                seed = self.options.seed + 1 + number
                yield Specimen(kind, seed, make(network, seed))

    @property
    def num_specimens(self) -> int:
        """How many there are."""
        return 1 + len(CONTROLS) * self.options.control_seeds

    def windows(self, count: int, length: int) -> Windows:
        """Real audio: the receptive field and `length` samples behind it.

        Raises:
            TooShort: no recording lasts so long.
        """
        key = (count, length)
        if key not in self._windows:
            whole = self.model.receptive_field + length
            self._windows[key] = read_windows(
                self.model, self.split, count=count, length=whole, seed=self.options.seed
            )
        return self._windows[key]

    def octaves(self) -> int:
        """Octaves below half the sample rate whose measuring window fits into the receptive field.

        Raises:
            TooShort: not one does.
        """
        # Four periods of the middle of octave k last 4 * 2^(k + 1.5) samples.
        fitting = [octave for octave in range(16) if 2 ** (octave + 3.5) <= self.model.receptive_field]
        if len(fitting) < 2:
            raise TooShort(
                f"the receptive field has {self.model.receptive_field} samples, expected 23 or more, in which two "
                f"octaves can be told apart"
            )
        return len(fitting)
