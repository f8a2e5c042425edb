"""The command `prepare`: a corpus of recordings becomes shards; what it does is in `data_prep`."""

from __future__ import annotations

from data_prep.command import add_arguments, main

__all__ = ["add_arguments", "main"]
