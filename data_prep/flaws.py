"""What the ear would notice: what the files of a corpus are like, and the flaws of those that are kept."""

from __future__ import annotations

import math

from data_prep.decoding import Decoded
from wavenet_pl.audio.channels import CLIPPED_RUN
from wavenet_pl.audio.formats import ODDITIES
from wavenet_pl.inputs.known import FRAMES

LARGE_OFFSET = 0.01
"""Of full scale."""
CANCELLED_DB = 20.0
"""So far the mix is below its channels where they cancel; it is 3 dB below channels that have nothing in common."""
SILENT_CHANNEL_DB = 40.0
"""So far a silent channel is below the loudest: what `--trim` takes for silence beside speech."""
LARGE_LOSS = 0.5
"""Of the length of a recording."""
NARROW = 0.6
"""Of half the sample rate: what was recorded at half the rate, and is resampled, ends below."""
_MOST_DB = 120.0  # told of what is digital silence
PROPERTIES = ("sample rate", "channels", "format", "bandwidth")
"""What the report counts of every file that could be read."""
FLAWS = {
    "clipped": f"{CLIPPED_RUN} samples in a row and more stand at full scale in the source",
    "channels cancel": f"the mix of its channels is {CANCELLED_DB:g} dB or more below them, because they are opposite; "
    "give one of them",
    "silent channel": f"a channel is {SILENT_CHANNEL_DB:g} dB or more below the loudest: averaged, that loses half of "
    "its level; give one of them",
    "offset": f"the mean is {LARGE_OFFSET:.0%} of full scale or more away from zero",
    "narrow band": f"nothing is above {NARROW:.0%} of half the sample rate of the shards: it was recorded at a lower "
    "rate, or compressed, and a model learns to sound so",
    "mostly dropped": f"a rule took more than {LARGE_LOSS:.0%} of its length",
    "copy": "the same audio as another recording, in the same split; where it is in another, it is dropped",
    **ODDITIES,
    **{flaw: meaning for kind in FRAMES for flaw, meaning in kind.flaw_help.items()},
}
"""Flaw that is reported of a recording, which is kept and left as it is -> what it means."""


def find_source_flaws(decoded: Decoded) -> dict[str, str]:
    """What a file has of `FLAWS` before anything is done to it, with what was found."""
    levels, flaws = decoded.levels, dict(decoded.flaws)
    if levels.clipped:
        flaws["clipped"] = f"{100 * levels.clipped:.3g} % of its samples"
    if levels.lost_decibels >= CANCELLED_DB:
        flaws["channels cancel"] = f"the mix is {_decibels(levels.lost_decibels)} below its channels"
    if levels.spread_decibels >= SILENT_CHANNEL_DB:
        silent = 1 + levels.powers.index(min(levels.powers))
        flaws["silent channel"] = (
            f"channel {silent} of {decoded.channels}, {_decibels(levels.spread_decibels)} below the loudest"
        )
    return flaws


def find_offset(mean: float) -> dict[str, str]:
    """The flaw of a recording whose mean is not 0."""
    return {"offset": f"{mean:+.3f} of full scale"} if abs(mean) >= LARGE_OFFSET else {}


def find_narrow_band(bandwidth: float | None, sample_rate: int) -> dict[str, str]:
    """The flaw of a recording with content up to a frequency in Hz, None where nobody knows, at the set's rate."""
    if bandwidth is None or bandwidth >= NARROW * sample_rate / 2:
        return {}
    return {"narrow band": f"nothing above about {bandwidth / 1000:.2g} of {sample_rate / 2000:g} kHz"}


def find_loss(rule: str, kept: float, dropped: float) -> dict[str, str]:
    """The flaw of a recording of which a rule took most, in seconds."""
    if dropped <= LARGE_LOSS * (kept + dropped):
        return {}
    return {"mostly dropped": f"{rule} took {dropped:.1f} of {kept + dropped:.1f} s"}


def describe_file(decoded: Decoded) -> dict[str, str]:
    """What the report counts of a file, of `PROPERTIES`."""
    return {
        "sample rate": f"{decoded.sample_rate} Hz",
        "channels": str(decoded.channels),
        "format": decoded.format,
    }


def describe_band(bandwidth: float | None, sample_rate: int) -> dict[str, str]:
    """What the report counts of a recording's content, of `PROPERTIES`."""
    if bandwidth is None:
        return {"bandwidth": "too short or quiet to be told"}
    whole = bandwidth >= sample_rate / 2
    return {"bandwidth": f"up to {sample_rate / 2000 if whole else math.ceil(bandwidth / 1000):g} kHz"}


def _decibels(value: float) -> str:
    return f"{value:.0f} dB" if value < _MOST_DB else f"more than {_MOST_DB:g} dB"
