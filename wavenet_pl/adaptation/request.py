"""What an adaptation is asked to be, checked as far as that takes no model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields

from wavenet_pl.errors import UserError

METHODS = ("embedding", "all")
"""What is trained: the new row of the speaker table alone, or every weight after that."""
OWN = "expected nothing of it: the data are --audio, and the run is named after --speaker; remove it"
"""What is said of settings that an adaptation makes itself, data.path and name."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments of `wavenet-pl adapt`, which messages name as they are typed.

    Raises:
        UserError: one is wrong; names the option.
    """

    run: str
    """The base: a run, a checkpoint, an export or a delta."""
    settings: Sequence[str] = ()
    """Of the training: files and key=value arguments."""
    audio: str
    """Folder of recordings of the new voice."""
    speaker: str
    """What it is called."""
    method: str = "auto"
    """One of `METHODS`, or auto."""
    minutes: float | None = None
    """How much of the audio is used; None for all."""
    replay: str | None = None
    """Shard set of which crops are mixed in."""
    replay_share: float = 0.5
    """Share of the crops that are."""
    go_on: bool = False
    """Whether the base has this speaker already."""
    runs: str = "runs"
    """Where run folders lie."""
    fresh: bool = False
    """Whether earlier runs are set aside."""
    dry_run: bool = False
    """Whether the audio is only examined."""

    def __post_init__(self) -> None:
        for option, value, what in (
            ("--audio", self.audio, "a folder"),
            ("--speaker", self.speaker, "a name"),
        ):
            if not value:
                raise UserError(f"{option} is missing, expected {what}; see `wavenet-pl adapt --help`")
        if not self.speaker.isprintable() or self.speaker != self.speaker.strip() or len(self.speaker) > 100:
            raise UserError(f"--speaker is {self.speaker!r:.60}, expected up to 100 printable characters")
        if self.minutes is not None and not 0 < self.minutes < 10_000:
            raise UserError(f"--minutes is {self.minutes:g}, expected a number above 0")
        if not 0 < self.replay_share < 1:
            raise UserError(f"--replay-share is {self.replay_share:g}, expected a share between 0 and 1")
        if own := next((text for text in self.settings if text.startswith(("data.path=", "name="))), None):
            raise UserError(f"{own} is set, {OWN}")


def read_request(args: argparse.Namespace) -> Request:
    """The request that a command line makes.

    Raises:
        UserError: as `Request`, or --base is there, which belongs to --merge.
    """
    if args.base is not None:
        raise UserError(
            "--base is set without --merge, expected both or none; RUN is the base of an adaptation"
        )
    return Request(**{option.name: getattr(args, option.name) for option in fields(Request)})
