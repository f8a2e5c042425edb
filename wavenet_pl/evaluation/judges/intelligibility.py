"""How well speech can be understood, from nothing but the two signals, by packages that others agree on."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.resampling import resample
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.judges.likeness import Compare, Tally
from wavenet_pl.runs.versions import INSTALL_JUDGES

Audio = npt.NDArray[np.float32]
STOI, EXTENDED_STOI, PESQ = "STOI", "extended STOI", "PESQ"


def intelligibility() -> dict[str, Compare]:
    """STOI (Taal et al., 2011), and its extended form (Jensen and Taal, 2016), which noise of the same envelope fails.

    Both are 1 for equal signals. Of clips with less than 0.4 s of speech there is none.

    Raises:
        UserError: their package is not installed.
    """
    try:
        import pystoi
    except ImportError as error:
        raise UserError(
            f"pystoi cannot be imported ({error}), so there is no STOI; run {INSTALL_JUDGES}"
        ) from None

    def compare(recorded: Audio, made: Audio, sample_rate: int, extended: bool) -> Tally:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # which is all it says of too little speech
                return Tally(float(pystoi.stoi(recorded, made, sample_rate, extended)), 1)
        except (RuntimeWarning, ValueError, IndexError):
            return Tally(0.0, 0)

    return {
        STOI: lambda recorded, made, rate: compare(recorded, made, rate, extended=False),
        EXTENDED_STOI: lambda recorded, made, rate: compare(recorded, made, rate, extended=True),
    }


def quality() -> dict[str, Compare]:
    """PESQ (ITU-T P.862.2) at 16 kHz, from 1 to 4.64.

    Raises:
        UserError: its package is not installed.
    """
    try:
        import pesq
    except ImportError as error:
        raise UserError(
            f"pesq cannot be imported ({error}), so there is no PESQ; run `pip install -e '.[pesq]'` in the "
            "repository, which takes a C compiler"
        ) from None

    def compare(recorded: Audio, made: Audio, sample_rate: int) -> Tally:
        if not np.any(recorded) or not np.any(made):  # it would divide by the level
            return Tally(0.0, 0)
        signals = [resample(np.asarray(each, np.float32), sample_rate, 16_000) for each in (recorded, made)]
        try:
            return Tally(float(pesq.pesq(16_000, *signals, "wb")), 1)
        except pesq.PesqError:  # no speech in one of them, or too short
            return Tally(0.0, 0)

    return {PESQ: compare}
