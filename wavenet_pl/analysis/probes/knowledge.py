"""What can be read out of skips of real audio: amplitudes and phases of octaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wavenet_pl.analysis.bench import TRAINED, Bench
from wavenet_pl.analysis.charts import bar_chart, matrix_chart
from wavenet_pl.analysis.claims import AMPLITUDES, OWN_OCTAVES, PHASES, Verdict, decide
from wavenet_pl.analysis.knowledge import TARGETS, ask, measure_knowledge, of_loudness, of_raw_samples
from wavenet_pl.analysis.material import TooShort
from wavenet_pl.analysis.probes.probe import CONTROLS, Figure, Numbers, Probe, by_kind, own_octaves, trained
from wavenet_pl.evaluation.scoring import OnProgress

Floats = npt.NDArray[np.float64]
_LOG_A = TARGETS.index("log A")
_QUADRATURES = [TARGETS.index("A cos"), TARGETS.index("A sin")]
_LENGTH = 1024


class KnowledgeProbe(Probe):
    """Ridge regression from skips to octaves; see `analysis.knowledge`."""

    name = "knowledge"
    title = "Amplitude and phase"
    about = (
        "At moments of real audio the amplitude A and the phase of each octave are measured in windows of four of its "
        "periods, which end there. Ridge regression from skips to log A, A cos and A sin is fitted on every second "
        "recording, and held against the others: what counts is the share of the variance there. Beside it the same "
        "from the raw amplitudes of the receptive field, in which all that is linear can be found, and from how loud "
        "the last 1, 2, 4, ... samples are, which knows no frequency."
    )  # fmt: skip

    def measure(self, bench: Bench, report: OnProgress) -> Numbers:
        """Shares for all networks and both ways without one."""
        octaves, model = bench.octaves(), bench.model
        windows = bench.windows(bench.options.fewer(48), _LENGTH)
        if len(set(windows.recording_W.tolist())) < 4:
            raise TooShort(
                "fewer than four recordings are long enough, expected two to fit and two to hold out"
            )
        questions = ask(model.codec, windows, _LENGTH, octaves)
        rows = []
        for number, specimen in enumerate(bench.specimens):

            def part(share: float, number: int = number) -> None:
                report((number + share) / bench.num_specimens)

            made = measure_knowledge(specimen.network, windows, questions, part)
            rows.append({
                "kind": specimen.kind, "seed": specimen.seed, "by_layer": np.array(made.by_layer).tolist(),
                "together": made.together.tolist(),
            })  # fmt: skip
        return {
            "sample_rate": model.sample_rate,
            "dilations": list(model.network.config.dilations),
            "rows": rows,
            "raw": of_raw_samples(model.codec, windows, questions, model.receptive_field).tolist(),
            "loudness": of_loudness(model.codec, windows, questions, model.receptive_field).tolist(),
            "octaves": questions.octaves,
            "recordings": len(set(windows.recording_W.tolist())),
        }

    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """Of the claims AMPLITUDES, PHASES and OWN_OCTAVES."""
        rows = numbers["rows"]
        loud = np.array(numbers["loudness"])[:, _LOG_A].mean()

        def amplitudes(row: Numbers) -> float:
            return float(np.array(row["together"])[:, _LOG_A].mean() - loud)

        def phases(row: Numbers) -> float:
            return float(np.array(row["together"])[:, _QUADRATURES].mean())

        own = own_octaves(numbers["dilations"], numbers["octaves"])

        def standing_out(row: Numbers) -> float:
            return own_octave_share(np.array(row["by_layer"])[:, :, _LOG_A], own)

        return [
            decide(claim, effect(trained(rows)), by_kind(rows, effect))
            for claim, effect in ((AMPLITUDES, amplitudes), (PHASES, phases), (OWN_OCTAVES, standing_out))
        ]

    def figures(self, numbers: Numbers) -> list[Figure]:
        """Shares by octave, and by layer and octave."""
        rows, rate = numbers["rows"], numbers["sample_rate"]
        own = trained(rows)
        together = np.array(own["together"])
        names = [f"{rate / 2 ** (octave + 2):.0f}" for octave in numbers["octaves"]]
        ways = {
            "all skips": together,
            "raw samples": np.array(numbers["raw"]),
            "overall level": np.array(numbers["loudness"]),
            **{
                kind: np.mean([row["together"] for row in rows if row["kind"] == kind], axis=0)
                for kind in dict.fromkeys(row["kind"] for row in rows if row["kind"] != TRAINED)
            },
        }  # fmt: skip
        by_layer = np.array(own["by_layer"])[:, :, _LOG_A]
        layers = [str(number) for number in range(1, len(by_layer) + 1)]
        loud, phased, in_layers = self.verdicts(numbers)
        means = [
            "; ".join(f"{name} {values[:, targets].mean():.2f}" for name, values in ways.items())
            for targets in ([_LOG_A], _QUADRATURES)
        ]
        return [
            Figure(
                "How loud each octave is",
                "How well the amplitude A of each octave can be read out linearly: explained share of the variance "
                f"of log A on {numbers['recordings'] // 2} held-out recordings, shown as 0 where it is below. "
                f"Averages over the octaves: {means[0]}. Raw samples are those of the receptive field; overall level "
                f"is that of the last samples, all frequencies together; the last ones are {CONTROLS}. "
                f"{loud.conclusion}",
                bar_chart(names, _clipped(ways, [_LOG_A]), "octave from, Hz", "share of variance"),
            ),
            Figure(
                "Which phase each octave is in",
                "How well amplitude A and phase p of each octave can be read out linearly: explained share of the "
                "variance of A cos p and A sin p, averaged, on held-out recordings. A single difference of samples "
                f"gives only one of the two: 0.5, the line. Averages over the octaves: {means[1]}. "
                f"{phased.conclusion}",
                bar_chart(
                    names, _clipped(ways, _QUADRATURES), "octave from, Hz", "share of variance", {"one difference": 0.5}
                ),
            ),
            Figure(
                "Which layer knows which octave",
                "How well the amplitude A of each octave can be read out of the skip of one layer (row): explained "
                "share of the variance of log A on held-out recordings. Outlined is the octave of the layer by the "
                f"essay, up to fs / 2^(k+1). There the share is {in_layers.effect:.2f} above what row and column "
                f"predict, on average; in {CONTROLS}: {in_layers.beside()}. {in_layers.conclusion}",
                matrix_chart(
                    np.clip(by_layer, 0, 1), layers, names, "octave from, Hz", "layer", "share of variance",
                    outlined=own_octaves(numbers["dilations"], numbers["octaves"]), span=(0, 1),
                ),
            ),
        ]  # fmt: skip


def own_octave_share(shares_LO: Floats, own: Sequence[tuple[int, int]]) -> float:
    """How far a layer's own octave stands out: its share, without the means of the layer and of the octave."""
    left = shares_LO - shares_LO.mean(axis=0) - shares_LO.mean(axis=1, keepdims=True) + shares_LO.mean()
    return float(np.mean([left[layer, octave] for layer, octave in own]))


def _clipped(ways: dict[str, Floats], targets: Sequence[int]) -> dict[str, list[float]]:
    """Shares below 0 are worse than the mean: they are shown as nothing."""
    return {name: np.clip(shares[:, targets].mean(axis=1), 0, 1).tolist() for name, shares in ways.items()}
