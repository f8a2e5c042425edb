"""The command `prepare`: a corpus of recordings becomes shards; what it does is in `data_prep`."""

from __future__ import annotations

from data_prep.arguments import add_arguments
from data_prep.command import main

__all__ = ["add_arguments", "main"]
