"""What each layer's skip is worth to the output."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np

from wavenet_pl.analysis.bench import Bench
from wavenet_pl.analysis.charts import Series, bar_chart, line_chart, matrix_chart
from wavenet_pl.analysis.claims import ALL_SKIPS, SKIP_OCTAVES, Verdict, decide
from wavenet_pl.analysis.material import TooShort, Windows
from wavenet_pl.analysis.probes.probe import CONTROLS, Figure, Numbers, Probe, by_kind, own_octaves, trained
from wavenet_pl.analysis.skips import collect_skips, measure_worth, octave_errors, smallest_set
from wavenet_pl.evaluation.linear_prediction import LinearPredictor, choose_setting
from wavenet_pl.evaluation.scoring import OnProgress
from wavenet_pl.model import Model

_LENGTH = 512
_MOST_BYTES = 2**28
"""Of the skips of all layers."""
_NEEDED_BITS = 0.01
_SHARE = 0.95


class SkipsProbe(Probe):
    """Skips replaced by their means; see `analysis.skips`."""

    name = "skips"
    title = "What skips are worth"
    about = (
        "On real audio the skip of a layer is replaced by its mean, and the bits per sample are counted again. Skips "
        "are only added up, so nothing else changes. Linear prediction, which learns nothing, is measured on the same "
        "samples. Of a 16-bit model all these bits are those of 256 mu-law codes, in which both can be compared."
    )  # fmt: skip

    def measure(self, bench: Bench, report: OnProgress) -> Numbers:
        """All cases for the trained network; costs and octaves of single layers for controls."""
        model, config = bench.model, bench.model.network.config
        bytes_each = 4 * config.num_layers * config.skip_channels * _LENGTH
        count = min(bench.options.fewer(32), _MOST_BYTES // bytes_each)
        if count < 2:
            raise TooShort(
                f"the skips of {config.num_layers} layers of {config.skip_channels} channels take too much memory, "
                "expected fewer than 2 ** 16 numbers for each sample"
            )
        windows = bench.windows(count, _LENGTH)
        rows, own = [], None
        for number, specimen in enumerate(bench.specimens):
            skips = collect_skips(model, specimen.network, windows, _LENGTH)
            own = own or skips  # the first is the trained network's
            everything = set(range(skips.num_layers))
            whole = skips.bits(everything)
            costs = [skips.bits(everything - {layer}) - whole for layer in sorted(everything)]
            rows.append({
                "kind": specimen.kind, "seed": specimen.seed, "whole": whole, "costs": costs,
                "octaves": octave_errors(skips).tolist(),
            })  # fmt: skip
            report(0.6 * (number + 1) / bench.num_specimens)
        assert own is not None
        worth = measure_worth(own, config.layers_per_stack, lambda share: report(0.6 + 0.1 * share))
        linear = _linear_bits(model, windows)
        gains = linear - worth.whole
        taken: list[int] = []
        bits: list[float] = []
        if not bench.options.quick:
            base = linear if gains > 0 else worth.none
            taken, bits = smallest_set(own, base, _SHARE, lambda share: report(0.7 + 0.3 * share))
        report(1.0)
        return {
            "sample_rate": model.sample_rate, "dilations": list(config.dilations), "rows": rows,
            **asdict(worth), "linear": linear, "taken": taken, "taken_bits": bits,
            "samples": len(windows) * _LENGTH,
        }  # fmt: skip

    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """Of the claims ALL_SKIPS and SKIP_OCTAVES."""
        rows, dilations = numbers["rows"], numbers["dilations"]

        def needed(row: Numbers) -> float:
            return float(np.mean([cost >= _NEEDED_BITS for cost in row["costs"]]))

        def own_octave(row: Numbers) -> float:
            errors = row["octaves"]
            return float(
                np.mean([errors[layer][o] for layer, o in own_octaves(dilations, range(len(errors[0])))])
            )

        return [
            decide(claim, effect(trained(rows)), by_kind(rows, effect))
            for claim, effect in ((ALL_SKIPS, needed), (SKIP_OCTAVES, own_octave))
        ]

    def figures(self, numbers: Numbers) -> list[Figure]:
        """Bits without and with single layers, and with more and more of them; octaves by layer."""
        own, dilations, rate = trained(numbers["rows"]), numbers["dilations"], numbers["sample_rate"]
        whole, none, linear = numbers["whole"], numbers["none"], numbers["linear"]
        count = len(dilations)
        layers = [str(number) for number in range(1, count + 1)]
        octaves = len(own["octaves"][0])
        names = [f"{rate / 2 ** (octave + 2):.0f}" for octave in range(octaves)]
        outlined = own_octaves(dilations, range(octaves))
        stacks = ", ".join(f"{bits - whole:+.2f}" for bits in numbers["stacks"])
        needed, in_octaves = self.verdicts(numbers)
        alone, together, half = sum(own["costs"]), none - whole, count // 2
        tail, head = numbers["from_below"][half], numbers["from_above"][half]
        more = "the later ones say more" if tail < head else "the earlier ones say more"
        if abs(tail - head) < _NEEDED_BITS:
            more = "hardly a difference"
        series = [
            Series("without the first layers", range(count), numbers["from_below"]),
            Series("without the last layers", range(count), numbers["from_above"]),
        ]
        in_words = ""
        if numbers["taken"]:
            series.append(
                Series(
                    "the best first", range(1, len(numbers["taken"]) + 1), numbers["taken_bits"], dashed=True
                )
            )
            order = ", ".join(str(layer + 1) for layer in numbers["taken"])
            base = "linear prediction" if linear > whole else "no skip at all"
            enough = f"{len(numbers['taken'])} of {count} layers are enough: {order}"
            in_words = f" For {_SHARE:.0%} of the gain over {base}, {enough}."
        return [
            Figure(
                "Without one layer",
                "Bits per sample lost when the skip of one layer is replaced by its mean over time (below 0: "
                f"gained), on {numbers['samples']:,} samples of real audio. Their sum is {alone:+.2f}; for all skips "
                f"replaced at once it is {together:+.2f}, for each whole stack {stacks}: "
                f"{_redundancy(alone, together)}. With all skips the network needs {whole:.3f} bits, linear "
                f"prediction {linear:.3f}. {needed.effect:.0%} of the layers lose 0.01 (the line) or more. "
                f"{needed.conclusion}",
                bar_chart(layers, {"without it": own["costs"]}, "layer", "bits per sample", {"needed": _NEEDED_BITS}),
            ),
            Figure(
                "With some of the layers",
                "Bits per sample when the skips of that many layers are replaced by their means, from the first on "
                "or from the last on; dashed, if drawn: when only that many are kept, added one by one, the most "
                "useful first. Horizontal: with all skips, and linear prediction. With the skips of the last "
                f"{count - half} layers only, the network needs {tail:.2f}, with those of the first {count - half} "
                f"only, {head:.2f}: {more}.{in_words}",
                line_chart(series, "layers", "bits per sample", levels={"all": whole, "linear prediction": linear}),
            ),
            Figure(
                "Which octave needs which layer",
                "Rise, in dB, of the error of the expected next sample in each octave when the skip of one layer "
                "(row) is replaced by its mean over time; row and column averages are subtracted, or speech's "
                "strongest octaves would lead in every row. Outlined is the layer's octave by the essay, up to fs / "
                f"2^(k+1). There it is {in_octaves.effect:.2f} dB on average; in {CONTROLS}: {in_octaves.beside()}. "
                f"{in_octaves.conclusion}",
                matrix_chart(own["octaves"], layers, names, "octave from, Hz", "layer", "dB", outlined=outlined),
            ),
        ]  # fmt: skip


def _redundancy(alone: float, together: float) -> str:
    """What the costs of layers, one by one and all at once, say of what they have in common; in bits."""
    if max(alone, together) < _NEEDED_BITS:
        return "the prediction needs no skip"
    if together > 2 * alone:
        return "layers say the same thing several times, so that one can be spared and not all"
    return "each layer says something of its own"


def _linear_bits(model: Model, windows: Windows) -> float:
    """Of linear prediction, whose setting is chosen on these samples themselves: it is not put at a disadvantage."""
    codec = model.comparable_codec
    codes = [codec.encode(model.codec.decode(codes_T)).numpy() for codes_T in windows.codes_WT]
    predictor = LinearPredictor(codec, choose_setting(codec, codes[:8]))
    nats = [predictor.nats(codes_T)[-_LENGTH:].mean() for codes_T in codes]
    return float(np.mean(nats)) / math.log(2)
