"""Pictures: of clips, with waveform and spectrogram, and of a curve."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.levels import measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FLOOR, _CEILING = -90.0, -10.0  # dB; the same in every picture, so that pictures can be compared
INK, FAINT, _WAVE = "#22223b", "#6c6c80", "#5b2a86"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
}
"""Of every picture, as matplotlib's rcParams."""


def save_spectrograms(
    path: str | os.PathLike[str],
    clips: Sequence[tuple[str, npt.ArrayLike]],
    sample_rate: int,
    title: str = "",
) -> None:
    """Write a PNG with a panel for each clip: label, length and levels above its waveform and spectrogram.

    Colours are dB below a full-scale sine, from -90 to -10. Equal arguments give equal bytes, with one
    release of matplotlib. Time axes have one scale, so clips can be compared.

    Args:
        path: the file.
        clips: (label, float audio of full scale 1) in order from the top; at least one.
        sample_rate: samples per second.
        title: a line above all.
    """
    Path(path).write_bytes(encode_spectrograms(clips, sample_rate, title))


def encode_spectrograms(
    clips: Sequence[tuple[str, npt.ArrayLike]], sample_rate: int, title: str = ""
) -> bytes:
    """The bytes of the PNG that `save_spectrograms` writes."""
    from matplotlib.figure import Figure

    assert clips, "a picture of nothing"
    audio = [(label, np.asarray(samples, dtype=np.float32)) for label, samples in clips]
    height = 2.5 * len(clips) + (0.75 if title else 0.5)
    with plain_style():
        figure = Figure(figsize=(9.6, height), dpi=110, facecolor="white")
        _fill(figure, audio, sample_rate, title)
        return _png(figure)


def encode_curve(
    points: Sequence[tuple[float, float]], levels: Mapping[str, float], across: str, up: str
) -> bytes:
    """A PNG of a line through points (x, y), with named horizontal lines.

    Args:
        points: in order.
        levels: what a line is called -> its height.
        across: what x is.
        up: what y is.
    """
    from matplotlib.figure import Figure

    with plain_style():
        figure = Figure(figsize=(7.2, 3.2), dpi=110, facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        axes.plot([x for x, _ in points], [y for _, y in points], color=_WAVE, marker=".", linewidth=1.2)
        for (name, height), dashes in zip(levels.items(), ("--", ":", "-."), strict=False):
            axes.axhline(height, color=FAINT, linewidth=0.9, linestyle=dashes, label=f"{name}: {height:.3f}")
        axes.legend(frameon=False, fontsize=8.5)
        axes.set(xlabel=across, ylabel=up)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return _png(figure)


@contextmanager
def plain_style() -> Iterator[None]:
    """The reader's own style file does not count, and nothing of ours stays behind."""
    import matplotlib

    plain: dict[Any, Any] = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")
    }
    with matplotlib.rc_context({**plain, **STYLE}):
        yield


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def spectrogram_db(audio: npt.ArrayLike, sample_rate: int) -> npt.NDArray[np.float32]:
    """Levels (frequencies, frames) in dB, where a sine of full scale has 0; about 32 ms per frame.

    Frequencies go from 0 to half the sample rate, and the frames from the first to the last sample. At most
    some 2,000 frames, however long the clip is.
    """
    samples = np.asarray(audio, dtype=np.float32)
    size = _window_size(sample_rate)
    hop = max(size // 8, -(-len(samples) // 2000))
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    padded = np.pad(samples, size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    magnitudes = np.abs(np.fft.rfft(frames * window, axis=1)) / (window.sum() / 2)
    return np.asarray(20 * np.log10(np.maximum(magnitudes, 1e-7)).T, dtype=np.float32)


def _window_size(sample_rate: int) -> int:
    return 2 ** max(5, round(np.log2(0.032 * sample_rate)))


def _fill(
    figure: Figure, clips: list[tuple[str, npt.NDArray[np.float32]]], sample_rate: int, title: str
) -> None:
    longest = max(max(len(audio) for _, audio in clips), 1) / sample_rate
    inches = figure.get_figheight()
    top = 1 - (0.62 if title else 0.36) / inches
    outer = figure.add_gridspec(
        len(clips), 1, left=0.075, right=0.905, top=top, bottom=0.47 / inches, hspace=0.26
    )
    if title:
        figure.text(0.075, 1 - 0.2 / inches, title, fontsize=11.5, fontweight="bold", va="center")
    image: Any = None
    for row, (label, audio) in enumerate(clips):
        inner = outer[row].subgridspec(2, 1, height_ratios=(1, 3.6), hspace=0.03)
        wave, spectrum = (figure.add_subplot(inner[part]) for part in range(2))
        _draw_wave(wave, audio, sample_rate, longest)
        wave.text(0, 1.1, label, transform=wave.transAxes, fontweight="bold", va="bottom")
        facts = _facts(audio, sample_rate)
        wave.text(1, 1.1, facts, transform=wave.transAxes, va="bottom", ha="right", color=FAINT)
        image = _draw_spectrum(spectrum, audio, sample_rate, longest)
        spectrum.tick_params(labelbottom=row == len(clips) - 1)
    spectrum.set_xlabel("seconds")
    bar = figure.colorbar(image, cax=figure.add_axes((0.92, 0.47 / inches, 0.011, top - 0.47 / inches)))
    bar.set_label("dB, full-scale sine = 0")
    bar.outline.set_linewidth(0.6)  # type: ignore[operator]


def _draw_wave(axes: Any, audio: npt.NDArray[np.float32], sample_rate: int, longest: float) -> None:
    """Lowest and highest sample of each column, as an editor of audio shows it; in its true height."""
    axes.axhline(0, color="#d8d8e0", linewidth=0.6)
    if len(audio):
        per_column = max(1, len(audio) // 1500)
        edges = np.arange(0, len(audio), per_column)
        low, high = np.minimum.reduceat(audio, edges), np.maximum.reduceat(audio, edges)
        axes.fill_between(edges / sample_rate, low, high, color=_WAVE, linewidth=0.4, step="mid")
    axes.set(xlim=(0, longest), ylim=(-1, 1), xticks=(), yticks=())
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)


def _draw_spectrum(axes: Any, audio: npt.NDArray[np.float32], sample_rate: int, longest: float) -> Any:
    levels = spectrogram_db(audio, sample_rate)
    nyquist = sample_rate / 2000
    axes.set_facecolor("#f2f2f5")  # where a clip is shorter than its neighbours
    image = axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        extent=(0, max(len(audio), 1) / sample_rate, 0, nyquist),
        cmap="magma",
        vmin=_FLOOR,
        vmax=_CEILING,
        interpolation="bilinear",
    )
    axes.set(xlim=(0, longest), ylim=(0, nyquist), ylabel="kHz")
    axes.tick_params(length=3)
    return image


def _facts(audio: npt.NDArray[np.float32], sample_rate: int) -> str:
    return f"{len(audio) / sample_rate:.2f} s · {sample_rate / 1000:g} kHz · {measure(audio).describe()}"
