"""Whose voice it is: a name for each recording (WaveNet, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from wavenet_pl.inputs.table import Table


@dataclass(frozen=True)
class Speaker(Table):
    """The speaker of a recording, one of a table of names."""

    name = "speaker"
    heard_as = "voice"
    metavar = "NAME"
    help = "whose voice, for a model conditioned on speakers"

    @classmethod
    def advice(cls, name: str) -> str:
        """To name the speakers in metadata.csv."""
        return "name them in metadata.csv and prepare again"
