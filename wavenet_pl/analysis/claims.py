"""The essay's claims, how each is measured, and what decides: fixed before the models were trained that decide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from wavenet_pl.numbers.intervals import student_quantile

Floats = npt.NDArray[np.float64]
Answer = Literal["holds", "holds with a correction", "does not hold", "not decided"]
_SURE = 0.999
"""An effect has to be larger than that of one more control of any kind would be, so surely."""


@dataclass(frozen=True)
class Claim:
    """One claim."""

    key: str
    quote: str
    """What the essay says."""
    effect: str
    """What is measured, in words; a larger effect speaks for the claim."""
    unit: str
    smallest: float
    """The smallest effect that is of interest."""

    @property
    def criterion(self) -> str:
        """What decides, in a sentence."""
        return (
            f"{self.effect}: at least {self.smallest:g}{self.unit and ' ' + self.unit}, and more than one more control "
            f"of any kind would show, {100 * _SURE:.1f} % surely"
        )


@dataclass(frozen=True)
class Verdict:
    """What was measured of a claim, and what follows."""

    claim: Claim
    answer: Answer
    effect: float
    controls: dict[str, tuple[float, float]]
    """Kind of control -> mean and standard deviation of the same effect."""
    note: str = ""
    """The correction, or why nothing is decided."""

    @property
    def conclusion(self) -> str:
        """What follows, in a sentence."""
        answer = "is not decided" if self.answer == "not decided" else self.answer
        return f"The claim {answer}{self.note and ': '}{self.note}."

    def beside(self, form: str = ".2f", sign: int = 1) -> str:
        """The same effect of each kind of control, or what it is the negative of; with one standard deviation."""
        return "; ".join(
            f"{kind} {_number(sign * mean, form)}"
            + (f" ± {deviation:{form.lstrip('+')}}" if deviation else "")
            for kind, (mean, deviation) in self.controls.items()
        )


def decide(
    claim: Claim,
    effect: float,
    controls: Mapping[str, Sequence[float]],
    *,
    correction: str = "",
    lacking: str = "",
) -> Verdict:
    """The answer to a claim.

    Args:
        claim: what is to be decided.
        effect: of the trained network; NaN where it could not be measured.
        controls: kind -> the effect of each control network.
        correction: what the claim has to say otherwise to be true, where it does.
        lacking: why it cannot be decided, if it cannot.
    """
    known = {kind: np.array(values, dtype=float) for kind, values in controls.items() if len(values)}
    spread = {
        kind: (float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0)
        for kind, values in known.items()
    }
    bars = _bars(known)
    bar = max(bars.values(), default=-math.inf)
    largest = {kind: float(values.max()) for kind, values in known.items()}
    if lacking or not math.isfinite(effect):
        return Verdict(claim, "not decided", effect, spread, lacking or "it could not be measured")
    if effect < claim.smallest:
        return Verdict(claim, "does not hold", effect, spread)
    if shown := [kind for kind, value in largest.items() if effect <= value]:
        return Verdict(
            claim, "does not hold", effect, spread, f"controls show it as well: {', '.join(shown)}"
        )
    if effect <= bar:
        kind = max(bars, key=lambda each: bars[each])
        few = f"more than any of the controls, and not surely more than one more would show: {kind}"
        return Verdict(claim, "not decided", effect, spread, few)
    if correction:
        return Verdict(claim, "holds with a correction", effect, spread, correction)
    return Verdict(claim, "holds", effect, spread)


def _number(value: float, form: str) -> str:
    text = f"{value:{form}}"
    return text if any(digit in text for digit in "123456789") else text.lstrip("+-")


def _bars(controls: Mapping[str, Floats]) -> dict[str, float]:
    """What one more control of each kind would not pass: by Student's t, with one spread inside of all kinds.

    Kinds whose effects are all the same, such as networks that do not answer, say nothing of how far others spread.
    """
    spreading = [values for values in controls.values() if np.ptp(values) > 0]
    degrees = sum(len(values) - 1 for values in spreading)
    if not degrees:
        return {kind: float(values.mean()) for kind, values in controls.items()}
    variance = sum(float(((values - values.mean()) ** 2).sum()) for values in spreading) / degrees
    surely = student_quantile(_SURE, degrees)
    return {
        kind: float(values.mean()) + surely * math.sqrt(variance * (1 + 1 / len(values)))
        for kind, values in controls.items()
    }


BANDS = Claim(
    "bands",
    "The layer with dilation 2^k answers to fs / 2^(k+1).",
    "share of the layers whose band (the middle of its -3 dB edges) lies within half an octave of that frequency, and "
    "stands 3 dB above the mean of all octaves",
    "", 0.5,
)  # fmt: skip
DIFFERENCES = Claim(
    "differences",
    "I saw a signal of frequency fs / 2 of amplitude b0 = a0 - a1.",
    "mean over the layers of minus the autocorrelation of a layer's impulse response at its own dilation, which is 0.5 "
    "for a difference",
    "", 0.1,
)  # fmt: skip
AMPLITUDES = Claim(
    "amplitudes",
    "After N layers the amplitudes of fs / 2 ... fs / 2^N are measured.",
    "share of the variance of log A, mean over the octaves of real audio, that the sum of all skips explains on "
    "held-out recordings, beyond what loudness without frequencies does",
    "", 0.1,
)  # fmt: skip
PHASES = Claim(
    "phases",
    "... and their phases.",
    "share of the variance of A cos and A sin, mean over the octaves, that the sum of all skips explains on held-out "
    "recordings; one difference would explain 0.5",
    "", 0.75,
)  # fmt: skip
OWN_OCTAVES = Claim(
    "own-octaves",
    "Each layer measures its own frequency.",
    "share of the variance of log A of its own octave that a layer's skip explains, less the mean of the other "
    "octaves, and less the same for the other layers; mean over the layers",
    "", 0.05,
)  # fmt: skip
BIAS = Claim(
    "bias",
    "The residual passes the common part down: a bias of r0 = a0 + b0.",
    "octaves by which the centroid of the stream falls from the first layer to the last, more than in the same network "
    "without the past",
    "octaves", 0.5,
)  # fmt: skip
ALL_SKIPS = Claim(
    "all-skips",
    "Skip connections hand every frequency's parameters to the output.",
    "share of the layers whose skip costs at least 0.01 bits per sample when it is replaced by its mean",
    "", 0.9,
)  # fmt: skip
SKIP_OCTAVES = Claim(
    "skip-octaves",
    "The output lacks a frequency where its layer is missing.",
    "how much louder the error of the expected amplitude is in a layer's own octave without its skip, beyond the means "
    "of the layer and of the octave; mean over the layers",
    "dB", 0.5,
)  # fmt: skip
FIELD = Claim(
    "field",
    "N layers hear down to fs / 2^N.",
    "share of the receptive field without which the bits rise by 0.01 per sample",
    "", 0.5,
)  # fmt: skip
SINES = Claim(
    "sines",
    "The output predicts the next sample as a sum of sines.",
    "dB by which the error of the next sample of two sines lies under that of adaptive linear prediction of order 32",
    "dB", 0.0,
)  # fmt: skip
