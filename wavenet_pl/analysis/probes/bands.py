"""Which frequencies each layer answers to, and whether it takes differences over its dilation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from wavenet_pl.analysis.agreement import correlations
from wavenet_pl.analysis.bands import find_band
from wavenet_pl.analysis.bench import TRAINED, Bench, Specimen
from wavenet_pl.analysis.charts import Series, line_chart, matrix_chart
from wavenet_pl.analysis.claims import BANDS, DIFFERENCES, Verdict, decide
from wavenet_pl.analysis.material import usual_condition
from wavenet_pl.analysis.probes.probe import CONTROLS, Figure, Numbers, Probe, by_kind, trained
from wavenet_pl.analysis.responses import lags, measure_responses, sine_gains
from wavenet_pl.analysis.steps import roughness, step_gains
from wavenet_pl.analysis.stimuli import noise, repeat, sines
from wavenet_pl.evaluation.scoring import OnProgress

Floats = npt.NDArray[np.float64]
LEVEL_DB, QUIET_DB = -20.0, -40.0
"""Of the noise, in dB of full scale: about as loud as speech, and as its pauses."""
_PERIODS_OF_THE_LOWEST, _LONGEST = 32, 2**16
"""The noise repeats itself after so many of the longest dilation, or after so many samples."""
_OCTAVES = 11
_POINTS = 4 * _OCTAVES
"""Frequencies at which gains are kept: quarters of octaves from fs / 2 down."""
_LEAST_CONTRAST = 3.0
_ALIKE, _ROUGH = 0.5, 1.5
HAAR = 0.763
"""Where the middle of a Haar wavelet's -3 dB edges lies, as a share of fs / 2^(k+1): from 0.364 to 1.163."""


class BandsProbe(Probe):
    """Noise, sines and steps on real audio; see `analysis.responses` and `analysis.steps`."""

    name = "bands"
    title = "Which frequencies a layer hears"
    about = (
        "Noise with the same power at all frequencies is repeated until the network has forgotten its beginning. What "
        "the gated channels of a layer make of it has then a spectrum without leakage: gain is the power that comes "
        "out for each power that goes in, less what chance gives, and coherence the share of it that a linear filter "
        "explains. The autocorrelation of the impulse response at a lag is what the gain says in time: a difference "
        "over d samples has -0.5 at lag d, a Haar wavelet +0.25 at half of it as well. Sines, and steps of a sixteenth "
        "of all codes on real audio, ask the same otherwise."
    )  # fmt: skip

    def measure(self, bench: Bench, report: OnProgress) -> Numbers:
        """Noise for all networks, at two levels, steps and sines for the trained one."""
        network, codec = bench.model.network, bench.model.codec
        longest = int(max(network.config.dilations))
        period = min(_LONGEST, 2 ** math.ceil(math.log2(_PERIODS_OF_THE_LOWEST * max(longest, 8))))
        windows = bench.windows(bench.options.fewer(16), min(2 * longest, 2048))
        condition = usual_condition(windows)
        rows, done = [], 0.0

        def part(share: float) -> OnProgress:
            begin, end = done, done + share

            return lambda within: report(begin + (end - begin) * within)

        for specimen in bench.specimens:
            levels = (LEVEL_DB,) if bench.options.quick or specimen.kind != TRAINED else (LEVEL_DB, QUIET_DB)
            each = 0.7 / bench.num_specimens
            for level in levels:
                rows.append(
                    self._of_noise(bench, specimen, period, level, condition, part(each / len(levels)))
                )
                done += each / len(levels)
        gains = step_gains(
            network, codec, windows, windows.inputs_WT.shape[1] - network.receptive_field, part(0.2)
        )
        cycles = np.unique(np.geomspace(8, 2000, bench.options.fewer(24)).astype(int))
        of_sines = sine_gains(
            network, repeat(codec, sines(4096, cycles, LEVEL_DB, bench.options.seed), network.receptive_field),
            cycles.tolist(), condition,
        )  # fmt: skip
        report(1.0)
        return {
            "sample_rate": bench.model.sample_rate,
            "dilations": list(network.config.dilations),
            "rows": rows,
            "steps": {
                "gains": [_points(gain_F) for gain_F in gains],
                "lags": [lags(gain_F) for gain_F in gains],
            },
            "sines": {"frequencies": (cycles / 4096).tolist(), "gains": of_sines.tolist()},
            "roughness": roughness(network, codec),
        }

    @staticmethod
    def _of_noise(
        bench: Bench,
        specimen: Specimen,
        period: int,
        level: float,
        condition: Tensor | None,
        report: OnProgress,
    ) -> Numbers:
        audio_MN = noise(period, bench.options.fewer(8), level, specimen.seed)
        stimulus = repeat(bench.model.codec, audio_MN, specimen.network.receptive_field)
        responses = measure_responses(specimen.network, stimulus, condition, progress=report)
        # A layer that does not answer has neither band nor lags.
        gains = [
            response.gain_F if response.answers else np.zeros_like(response.gain_F) for response in responses
        ]
        bands = [find_band(gain_F) for gain_F in gains]
        return {
            "kind": specimen.kind,
            "seed": specimen.seed,
            "level": level,
            "bands": [[band.low, band.high, band.contrast_db] for band in bands],
            "lags": [lags(gain_F) for gain_F in gains],
            "gains": [_points(gain_F) for gain_F in gains],
            "coherence": [float(response.coherence_F[1:-1].mean()) for response in responses],
        }

    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """Of the claims BANDS and DIFFERENCES."""
        dilations = numbers["dilations"]
        rows = [row for row in numbers["rows"] if row["level"] == LEVEL_DB]
        own = trained(rows)
        ratios = [_ratio(band, dilation) for band, dilation in zip(own["bands"], dilations, strict=True)]
        inside = [
            ratio
            for ratio, band in zip(ratios, own["bands"], strict=True)
            if _inside(ratio) and _stands_out(band)
        ]
        usual = float(np.median(inside)) if inside else math.nan
        correction = (
            f"the middle lies at {usual:.2f} of that frequency (a Haar wavelet: {HAAR})"
            if usual < 0.9
            else ""
        )
        return [
            decide(
                BANDS, _share_inside(own, dilations), by_kind(rows, lambda row: _share_inside(row, dilations)),
                correction=correction,
            ),
            decide(DIFFERENCES, _own_lag(own, dilations), by_kind(rows, lambda row: _own_lag(row, dilations))),
        ]  # fmt: skip

    def figures(self, numbers: Numbers) -> list[Figure]:
        """Gains, bands, lags, and how far the ways to ask agree."""
        dilations, rate = numbers["dilations"], numbers["sample_rate"]
        rows = [row for row in numbers["rows"] if row["level"] == LEVEL_DB]
        own = trained(rows)
        layers = range(1, len(dilations) + 1)
        names = [str(number) for number in layers]
        tones = [f"{rate / 2 ** (1 + point / 4):.0f}" if point % 8 == 0 else "" for point in range(_POINTS)]
        gains = _db(own["gains"])
        relative = gains - np.fmax.reduce(gains, axis=1, keepdims=True)
        outlined = [
            (layer, int(min(4 * math.log2(dilation), _POINTS - 1)))
            for layer, dilation in enumerate(dilations)
        ]
        own_lags = [(layer, int(math.log2(dilation))) for layer, dilation in enumerate(dilations)]
        lag_names = [str(2**power) for power in range(len(own["lags"][0]))]
        verdicts = {verdict.claim.key: verdict for verdict in self.verdicts(numbers)}
        in_bands, differences = verdicts["bands"], verdicts["differences"]
        ways = _agreement(numbers)
        agreement = ", ".join(f"{name} {value:.2f}" for name, value in ways.items())
        alike = "is much the same by all" if min(ways.values()) > _ALIKE else "depends on the signal"
        off, off_of_controls = (
            f"{_octaves_off([row for row in rows if (row['kind'] == TRAINED) == is_own], dilations):.1f}"
            for is_own in (True, False)
        )
        return [
            Figure(
                "What each layer answers to",
                f"How much of noise at {LEVEL_DB:g} dB of full scale comes through each layer, by frequency: a row "
                "for each layer, in dB below the largest of the row. Outlined is fs / 2^(k+1), where the essay puts "
                f"the layer with dilation 2^k. {in_bands.effect:.0%} of {len(layers)} layers have the middle of "
                f"their band within half an octave of it; in {CONTROLS}: {in_bands.beside('.0%')}. "
                f"{in_bands.conclusion}",
                matrix_chart(relative, names, tones, "frequency, Hz", "layer", "dB", outlined=outlined, span=(-30, 0)),
            ),
            Figure(
                "The middle of each band",
                "Frequency in the middle between the -3 dB edges of each layer's gain for noise. Dashed: where the "
                f"essay puts it, fs / 2^(k+1), and where a Haar wavelet of the layer's dilation has it, {HAAR} of "
                f"that. Grey: {CONTROLS}. Layers that split octaves would follow a dashed line; half of those "
                f"measured are more than {off} octaves away from the essay's, half of the grey ones more than "
                f"{off_of_controls}.",
                self._middles(rows, dilations, rate),
            ),
            Figure(
                "Differences across the dilation",
                "Autocorrelation of each layer's impulse response, 1 at lag 0, by lag in samples. Outlined is the "
                "layer's own dilation, where the difference of two samples so far apart has -0.5. There the mean "
                f"over the layers is {-differences.effect:+.2f}; in {CONTROLS}: {differences.beside('+.2f', -1)}. "
                f"{differences.conclusion}",
                matrix_chart(
                    own["lags"], names, lag_names, "lag, samples", "layer", "autocorrelation", outlined=own_lags,
                    span=(-0.5, 0.5),
                ),
            ),
            Figure(
                "Differences, by other signals",
                "Autocorrelation of each layer's impulse response at its own dilation, where a difference has -0.5; "
                "measured with noise, and by moving one sample of real audio by a sixteenth of all codes. Grey: "
                f"{CONTROLS}, with noise. Correlation of the layers' gains so measured, with sines as a third way: "
                f"{agreement}. So what is measured {alike}.{_on_codes(numbers['roughness'])}",
                line_chart(
                    [
                        *(
                            Series(f"noise at {row['level']:g} dB", layers, _own_lags(row["lags"], dilations))
                            for row in numbers["rows"] if row["kind"] == TRAINED
                        ),
                        Series("steps on audio", layers, _own_lags(numbers["steps"]["lags"], dilations)),
                        *(
                            Series("", layers, _own_lags(row["lags"], dilations), control=True)
                            for row in rows if row["kind"] != TRAINED
                        ),
                    ],
                    "layer", "autocorrelation", levels={"a difference": -0.5},
                ),
            ),
        ]  # fmt: skip

    @staticmethod
    def _middles(rows: Sequence[Numbers], dilations: Sequence[int], rate: int) -> str:
        layers = range(1, len(dilations) + 1)
        series = [
            Series(
                TRAINED if row["kind"] == TRAINED else "", layers,
                [rate * (low + high) / 2 for low, high, _ in row["bands"]], control=row["kind"] != TRAINED,
            )
            for row in sorted(rows, key=lambda row: row["kind"] == TRAINED)
        ]  # fmt: skip
        essay = [rate / (2 * dilation) for dilation in dilations]
        series.append(Series("the essay's", layers, essay, dashed=True))
        series.append(Series("a Haar wavelet's", layers, [HAAR * each for each in essay], dashed=True))
        return line_chart(series, "layer", "Hz", log_up=True)


def _points(gain_F: Floats) -> list[float]:
    """Mean gains around quarters of octaves from fs / 2 down; NaN where there is no frequency."""
    position_F = np.full(len(gain_F), -1)
    frequencies_F = np.linspace(0, 0.5, len(gain_F))
    position_F[1:] = np.round(-4 * np.log2(2 * frequencies_F[1:])).astype(int)
    return [
        float(gain_F[position_F == point].mean()) if (position_F == point).any() else math.nan
        for point in range(_POINTS)
    ]


def _own_lags(lags: Sequence[Sequence[float]], dilations: Sequence[int]) -> list[float]:
    powers = [int(math.log2(dilation)) for dilation in dilations]
    return [row[power] if power < len(row) else math.nan for row, power in zip(lags, powers, strict=True)]


def _own_lag(row: Numbers, dilations: Sequence[int]) -> float:
    return -float(np.nanmean(_own_lags(row["lags"], dilations)))


def _ratio(band: Sequence[float], dilation: int) -> float:
    return (band[0] + band[1]) / 2 * 2 * dilation


def _inside(ratio: float) -> bool:
    return 0.5**0.5 <= ratio <= 2**0.5


def _stands_out(band: Sequence[float]) -> bool:
    return band[2] >= _LEAST_CONTRAST


def _octaves_off(rows: Sequence[Numbers], dilations: Sequence[int]) -> float:
    """How far bands are from where the essay puts them, in the median over layers and networks."""
    ratios = [_ratio(band, each) for row in rows for band, each in zip(row["bands"], dilations, strict=True)]
    known = [abs(math.log2(ratio)) for ratio in ratios if ratio > 0]
    return float(np.median(known)) if known else math.nan


def _on_codes(roughness: float | None) -> str:
    if roughness is None or not roughness > _ROUGH:
        return ""
    return (
        f" Steps of one code would mislead: the embedding has neighbours {roughness:.1f} times as far apart as larger "
        "steps suggest."
    )  # fmt: skip


def _share_inside(row: Numbers, dilations: Sequence[int]) -> float:
    return float(
        np.mean([
            _inside(_ratio(band, dilation)) and _stands_out(band)
            for band, dilation in zip(row["bands"], dilations, strict=True)
        ])
    )  # fmt: skip


def _db(gains: Sequence[Sequence[float]]) -> Floats:
    array = np.array([[max(each, 0.0) for each in row] for row in gains])
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(np.where(array > 0, array, np.nan)))


def _agreement(numbers: Numbers) -> dict[str, float]:
    """How the gains of layers and frequencies correlate between two ways to ask."""
    at = [(2.0 ** -(1 + point / 4)) for point in range(_POINTS)]
    of_sines = _db(numbers["sines"]["gains"])
    order = np.argsort(numbers["sines"]["frequencies"])
    sampled = np.array([
        np.interp(np.log(at), np.log(np.array(numbers["sines"]["frequencies"])[order]), row[order], np.nan, np.nan)
        for row in of_sines
    ])  # fmt: skip
    return correlations(
        noise=_db(trained(numbers["rows"])["gains"]), steps=_db(numbers["steps"]["gains"]), sines=sampled
    )
