"""What decides on a claim, both ways."""

from __future__ import annotations

import math

import pytest

from wavenet_pl.analysis import claims
from wavenet_pl.analysis.claims import Claim, decide

CLAIM = Claim("tested", "It is so.", "how much it is so", "dB", 0.5)


@pytest.mark.parametrize(
    ("effect", "controls", "answer"),
    [
        (0.4, {"untrained": [0.0, 0.0, 0.0]}, "does not hold"),
        (0.6, {"untrained": [0.0, 0.02, -0.02]}, "holds"),
        (0.6, {"untrained": [0.0, 0.02, -0.02], "shuffled": [0.5, 0.6, 0.7]}, "does not hold"),
        (
            0.6,
            {"untrained": [0.0, 0.1, -0.1]},
            "not decided",
        ),  # three say little of how far a fourth would be
        (0.6, {"untrained": [0.0, 0.1, -0.1], "shuffled": [0.01, 0.0, -0.01, 0.0] * 3}, "holds"),
        (0.6, {"untrained": [0.0, 0.1, -0.1], "silent": [0.0] * 12}, "not decided"),
        (0.6, {"untrained": [0.0, 0.1, -0.1], "shuffled": [0.6]}, "does not hold"),
        (0.6, {"untrained": [0.59]}, "holds"),
        (0.6, {}, "holds"),
        (math.nan, {}, "not decided"),
    ],
)
def test_an_effect_is_large_enough_and_beyond_all_controls(effect, controls, answer):
    verdict = decide(CLAIM, effect, controls)
    assert verdict.answer == answer
    assert set(verdict.controls) == set(controls)
    if effect > CLAIM.smallest and answer != "holds":
        shown = {"does not hold": "controls show it as well", "not decided": "not surely more than one more"}
        assert shown[answer] in verdict.note


def test_the_controls_that_show_it_are_named_and_not_those_that_spread_most():
    verdict = decide(CLAIM, 0.6, {"untrained": [0.0, 0.5, -0.5], "shuffled": [0.61, 0.59, 0.60]})
    assert verdict.note == "controls show it as well: shuffled"


def test_a_correction_is_said_only_where_the_claim_holds():
    assert decide(CLAIM, 1.0, {}, correction="at 0.76 of it").answer == "holds with a correction"
    assert decide(CLAIM, 0.0, {}, correction="at 0.76 of it").answer == "does not hold"
    lacking = decide(CLAIM, 1.0, {}, lacking="it has one stack")
    assert (lacking.answer, lacking.note) == ("not decided", "it has one stack")


def test_a_verdict_says_in_words_what_follows_and_what_controls_have():
    controls = {"untrained": [0.1, 0.2, 0.3], "shuffled": [0.0, 0.0]}
    verdict = decide(CLAIM, 10.0, controls, correction="at 0.76 of it")
    assert verdict.conclusion == "The claim holds with a correction: at 0.76 of it."
    assert verdict.beside() == "untrained 0.20 ± 0.10; shuffled 0.00"
    assert verdict.beside("+.1f", sign=-1) == "untrained -0.2 ± 0.1; shuffled 0.0"
    assert decide(CLAIM, math.nan, {}).conclusion == "The claim is not decided: it could not be measured."


def test_every_claim_says_what_decides():
    known = [each for each in vars(claims).values() if isinstance(each, Claim)]
    assert len({each.key for each in known}) == len(known) >= 10
    for claim in known:
        assert f"{claim.smallest:g}" in claim.criterion and claim.quote.endswith(".")
