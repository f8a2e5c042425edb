"""Does the residual path carry the slow part of a signal down the layers?"""

from __future__ import annotations

import math

import numpy as np

from wavenet_pl.analysis.bench import TRAINED, Bench
from wavenet_pl.analysis.charts import Series, line_chart
from wavenet_pl.analysis.claims import BIAS, Verdict, decide
from wavenet_pl.analysis.probes.probe import CONTROLS, Figure, Numbers, Probe, by_kind, trained
from wavenet_pl.analysis.streams import CHANGED, centroid, stream_spectra, without_past
from wavenet_pl.evaluation.scoring import OnProgress
from wavenet_pl.network import WaveNet

_LENGTH = 1024
_NO_PAST = "without the past"


class BiasProbe(Probe):
    """Spectra of what comes into each layer; see `analysis.streams`."""

    name = "bias"
    title = "What goes down the residual path"
    about = (
        "The spectrum of what comes into each layer on real audio, all channels together, without what does not "
        "change; its centroid is the mean frequency. A network without the past sees one sample in each layer: what "
        "its centroid does has nothing to do with filters. The essay's own formula, r0 = a0 + b0 with b0 = a0 - a1, is "
        "2 a0 - a1, which is high-pass; what would be low-pass is a0 - b0 / 2, the mean of two samples."
    )  # fmt: skip

    def measure(self, bench: Bench, report: OnProgress) -> Numbers:
        """Centroids by layer for all networks, each also without the past."""
        windows = bench.windows(bench.options.fewer(16), _LENGTH)
        window = np.hanning(_LENGTH)

        def centroids(network: WaveNet) -> list[float]:
            return [centroid(power_F) for power_F in stream_spectra(network, windows.each(), window)]

        rows, changed = [], {}
        for number, specimen in enumerate(bench.specimens):
            rows.append({
                "kind": specimen.kind, "seed": specimen.seed, "centroids": centroids(specimen.network),
                "no_past": centroids(without_past(specimen.network)),
            })  # fmt: skip
            report((number + 1) / (bench.num_specimens + 1))
        for name, change in CHANGED.items():
            changed[name] = rows[0]["no_past"] if name == _NO_PAST else centroids(change(bench.model.network))
        report(1.0)
        return {"sample_rate": bench.model.sample_rate, "rows": rows, "changed": changed}

    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """Of the claim BIAS."""
        rows = numbers["rows"]
        return [decide(BIAS, _fallen(trained(rows)), by_kind(rows, _fallen))]

    def figures(self, numbers: Numbers) -> list[Figure]:
        """Centroids by depth, and the two formulas."""
        rows, rate = numbers["rows"], numbers["sample_rate"]
        layers = range(1, len(rows[0]["centroids"]) + 1)
        series = [Series(TRAINED, layers, _hertz(trained(rows)["centroids"], rate))]
        series += [
            Series(name, layers, _hertz(values, rate), dashed=True)
            for name, values in numbers["changed"].items()
        ]
        series += [
            Series("", layers, _hertz(row["centroids"], rate), control=True)
            for row in rows
            if row["kind"] != TRAINED
        ]
        turns = np.linspace(0, 0.5, 101)
        wave = np.exp(-2j * np.pi * turns)
        [verdict] = self.verdicts(numbers)
        return [
            Figure(
                "The mean frequency along the residual path",
                "Centroid of the spectrum of what comes into each layer on real audio, from the first to the last: "
                "it would fall if layers passed on mainly the low, common part. Dashed: the same network with parts "
                f"removed; without the past its layers cannot filter. Grey: {CONTROLS}. The centroid "
                f"{_moves(trained(rows)['centroids'])}; without the past it {_moves(trained(rows)['no_past'])}. "
                f"{verdict.conclusion}",
                line_chart(series, "layer", "Hz", log_up=True),
            ),
            Figure(
                "What the essay's formula does",
                "Calculated, not measured: power gain at each frequency. To a sample a0 the essay adds its "
                "difference from the one before, b0 = a0 - a1. The sum, 2 a0 - a1, has nine times the gain at the "
                "highest frequency that it has at the lowest: it amplifies what changes. a0 - b0 / 2, the mean of two "
                "samples, would keep the common part and remove the highest frequency.",
                line_chart(
                    [
                        Series("a0 + b0", turns.tolist(), (np.abs(2 - wave) ** 2).tolist()),
                        Series("a0 - b0 / 2", turns.tolist(), (np.abs(1 + wave) ** 2 / 4).tolist()),
                    ],
                    "frequency, share of the sample rate", "gain",
                ),
            ),
        ]  # fmt: skip


def _moves(centroids: list[float]) -> str:
    octaves = math.log2(centroids[-1] / centroids[0])
    return f"{'rises' if octaves > 0 else 'falls'} by {abs(octaves):.2f} octaves"


def _fallen(row: Numbers) -> float:
    """Octaves by which the centroid falls, more than without the past."""
    falls = [math.log2(values[0] / values[-1]) for values in (row["centroids"], row["no_past"])]
    return falls[0] - falls[1]


def _hertz(shares: list[float], rate: int) -> list[float]:
    return [share * rate for share in shares]
