"""Does the output predict the next sample as a sum of sines?"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.analysis.bench import TRAINED, Bench
from wavenet_pl.analysis.charts import bar_chart
from wavenet_pl.analysis.claims import SINES, Verdict, decide
from wavenet_pl.analysis.extrapolation import ORDERS, estimated, linear, persistence, two_sines
from wavenet_pl.analysis.material import usual_condition
from wavenet_pl.analysis.probes.probe import Figure, Numbers, Probe, Report, by_kind, trained

Floats = npt.NDArray[np.float64]
_LENGTH, _BEFORE = 128, 1024
_STRONGEST = f"linear prediction, {ORDERS[-1]}"


class SinesProbe(Probe):
    """Two sines that the network never heard; see `analysis.extrapolation`."""

    name = "sines"
    title = "Two sines"
    about = (
        "Pairs of sines with frequencies, levels and phases at random, rounded to the model's codes. The expected "
        "amplitude of the next sample is held against the sample, and so are other ways to say it: the sample before, "
        "weights of the last samples that fit the past, two sines that fit the past, and the very two sines, whose "
        "error is that of rounding. A network with a condition is given the mean one of real audio."
    )  # fmt: skip

    def measure(self, bench: Bench, report: Report) -> Numbers:
        """Errors of all networks and of all other ways, relative to the signal."""
        model = bench.model
        windows = bench.windows(1, 1)
        condition = usual_condition(windows)
        before = max(model.receptive_field, _BEFORE)
        signals = two_sines(bench.options.fewer(64), before + _LENGTH + 1, bench.options.seed)
        codes_MN = model.codec.encode(torch.from_numpy(signals.audio_MN))
        heard_MN = model.codec.decode(codes_MN).double().numpy()
        asked_ML = heard_MN[:, -_LENGTH:]

        def error(expected_ML: Floats) -> float:
            """In dB of the signal's power: the mean over signals of the logarithm, so that each counts alike."""
            errors = ((expected_ML - asked_ML) ** 2).mean(axis=1) / (asked_ML**2).mean(axis=1)
            return float(10 * np.log10(errors + 1e-12).mean())

        others = {
            "the sample before": error(persistence(heard_MN, _LENGTH)),
            **{f"linear prediction, {order}": error(linear(heard_MN, _LENGTH, order)) for order in ORDERS},
            "two sines that fit": error(estimated(heard_MN, _LENGTH)),
            "the very two": error(signals.audio_MN[:, -_LENGTH:]),
        }
        rows = []
        for number, specimen in enumerate(bench.specimens):
            expected = []
            for codes_N in codes_MN:
                with torch.inference_mode():
                    outputs_1KL, _ = specimen.network(codes_N[None, :-1], condition, last=_LENGTH)
                    expected.append(model.head.expect(outputs_1KL, model.codec)[0].double().numpy())
            rows.append({"kind": specimen.kind, "seed": specimen.seed, "error": error(np.array(expected))})
            report((number + 1) / bench.num_specimens)
        return {"rows": rows, "others": others, "signals": len(codes_MN)}

    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """Of the claim SINES."""
        linear_error = numbers["others"][_STRONGEST]

        def under(row: Numbers) -> float:
            value = linear_error - row["error"]
            return float(value) if math.isfinite(value) else math.nan

        return [decide(SINES, under(trained(numbers["rows"])), by_kind(numbers["rows"], under))]

    def figures(self, numbers: Numbers) -> list[Figure]:
        """Errors side by side."""
        own = trained(numbers["rows"])["error"]
        kinds: dict[str, list[float]] = {}
        for row in numbers["rows"]:
            kinds.setdefault("the network" if row["kind"] == TRAINED else row["kind"], []).append(
                row["error"]
            )
        errors = {**{kind: float(np.mean(values)) for kind, values in kinds.items()}, **numbers["others"]}
        under = numbers["others"][_STRONGEST] - own
        return [
            Figure(
                "The error of the next sample",
                f"Mean error over {numbers['signals']} pairs of sines, in dB of the signal. The network's {own:.1f} dB "
                f"lie {abs(under):.1f} dB {'under' if under > 0 else 'over'} those of linear prediction of order "
                f"{ORDERS[-1]}; with the very two sines known it would be {numbers['others']['the very two']:.1f} dB, "
                "which is rounding.",
                bar_chart(list(errors), {"error": list(errors.values())}, "", "dB"),
            )
        ]  # fmt: skip
