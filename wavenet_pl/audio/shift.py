"""Whether notes stand where they sound: by how much a MIDI file is shifted against its recording.

Shapes: N frames or notes, W samples of a window, S keys, P partials.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.midi import Score

REACH_SECONDS = 0.5
"""How far a shift is looked for, to both sides."""
SHIFT_FLAWS = {
    "shifted": "the notes of the MIDI file begin earlier (+) or later (-) than what is heard, by more than two frames",
    "unheard": f"the notes of the MIDI file meet what is heard at no shift up to {REACH_SECONDS:g} s, and their "
    "pitches are not heard: another piece?",
}
"""Flaw -> what it means."""

_LARGE_SHIFT = 2.0  # frames: notes that fit are measured within 1.3
# The rise of a piano's sound is seen 4 ms after its hammer strikes, that of a sine which begins at once 3 ms before it
# does, because the window reaches ahead: halfway between is no shift.
_ATTACK_SECONDS = 0.0016
_WINDOW_SECONDS = 0.016
_CONTRAST = 1_000.0  # of a level against the recording's own, before its logarithm is taken
_FEWEST_ONSETS = 8  # a few notes would meet some noise somewhere
_ALIKE = 0.8  # where a second shift fits as well as this, there is no best one
_PEAK_FRAMES = 8  # to each side of the best shift, that are part of it
_AS_WELL = (
    0.95  # of the best fit: so much may be chance where a rhythm is even and meets itself at many shifts
)
_PITCH_SECONDS = (
    0.128  # tells semitones apart from the middle of a piano on, and of lower keys their partials
)
_PARTIALS = (1, 2, 3, 4)
_BESIDE = (
    -6,
    -4,
    -3,
    -2,
    -1,
    1,
    2,
    3,
    4,
    6,
)  # semitones: no interval whose partials are a key's own, as of a fifth
_ASKED = 512  # notes, spread over the recording
_SOUNDING = 0.8  # 40 piano pieces have 1.4 and more, with the notes of another piece at most 0.64
_BLOCK = 2048  # frames at a time


def shift_flaws(
    notes: Score, audio: npt.NDArray[np.float32], sample_rate: int, hop: int, start: int = 0
) -> dict[str, str]:
    """The flaw of `SHIFT_FLAWS` that notes have, with its measured size; empty where there are too few notes to tell.

    At each shift the recording's onset strength (spectral flux) is added up over the frames in which notes begin. An
    even rhythm meets itself at many shifts, and a slow attack at none: then pitches say whether these notes are heard.

    Args:
        notes: of the source.
        audio: (samples,), what is left of the source.
        sample_rate: in Hz.
        hop: samples in a frame of the notes.
        start: samples of the source before `audio`.
    """
    strength_N = _onset_strength(audio, round(_WINDOW_SECONDS * sample_rate), hop)
    struck = np.unique((np.rint(notes.onsets * sample_rate).astype(np.int64) - start) // hop)
    struck = struck[(struck >= 0) & (struck < len(strength_N))]
    if len(struck) < _FEWEST_ONSETS:
        return {}
    reach = round(REACH_SECONDS * sample_rate / hop)
    padded = np.pad(strength_N - strength_N.mean(), reach)
    fits = np.array([padded[struck + lag].sum() for lag in range(2 * reach + 1)])
    best = int(fits.argmax())
    before, there, after = np.pad(fits, 1, mode="edge")[best : best + 3]
    bend = before - 2 * there + after
    # Between frames, a parabola through the three best knows more.
    frames = best - reach + ((before - after) / (2 * bend) if bend < 0 else 0.0)
    seconds = frames * hop / sample_rate - _ATTACK_SECONDS
    if abs(seconds) * sample_rate <= _LARGE_SHIFT * hop:
        return {}
    others = np.delete(fits, slice(max(0, best - _PEAK_FRAMES), best + _PEAK_FRAMES + 1))
    if others.max(initial=0.0) <= _ALIKE * there:
        return {"shifted": f"{1000 * seconds:+.0f} ms"}
    tolerated = round(_LARGE_SHIFT)
    if fits[reach - tolerated : reach + tolerated + 1].max() >= _AS_WELL * there:
        return {}
    if _pitch_contrast(notes, audio, sample_rate, start) >= _SOUNDING:
        return {}
    return {"unheard": f"{len(struck)} onsets"}


def _onset_strength(audio: npt.NDArray[np.float32], window: int, hop: int) -> npt.NDArray[np.float64]:
    """(N,): by how much a frame is louder than the one before, added up over the frequencies at which it is."""
    num_frames, loudness = -(-len(audio) // hop), _root_mean_square(audio)
    strength_N = np.zeros(num_frames)
    for first in range(0, num_frames, _BLOCK):
        count = min(_BLOCK, num_frames - first)
        begin = (first - 1) * hop + hop // 2 - window // 2  # of the frame before the first
        end = begin + count * hop + window
        piece = np.pad(audio[max(begin, 0) : end], (max(-begin, 0), max(end - len(audio), 0)))
        windows_NW = np.lib.stride_tricks.sliding_window_view(piece, window)[::hop]
        levels = _levels(windows_NW, loudness)
        strength_N[first : first + count] = np.maximum(np.diff(levels, axis=0), 0).sum(axis=1)
    return strength_N


def _pitch_contrast(notes: Score, audio: npt.NDArray[np.float32], sample_rate: int, start: int) -> float:
    """How much higher the levels of the notes' partials are, after their onsets, than those of keys beside theirs."""
    window = round(_PITCH_SECONDS * sample_rate)
    begins_N = np.rint(notes.onsets * sample_rate).astype(np.int64) - start
    inside = np.flatnonzero((begins_N >= 0) & (begins_N + window <= len(audio)))
    if not len(inside):
        return 0.0
    asked = inside[np.linspace(0, len(inside) - 1, min(len(inside), _ASKED)).astype(np.int64)]
    levels = _levels(audio[begins_N[asked, None] + np.arange(window)], _root_mean_square(audio))
    hertz_NS = 440 * 2 ** ((notes.keys[asked, None] - 69 + np.array([0, *_BESIDE])) / 12)
    bins_NSP = np.rint(hertz_NS[..., None] * _PARTIALS * window / sample_rate).astype(np.int64)
    rows = np.arange(len(asked))[:, None, None]
    levels_NSP = np.where(bins_NSP <= window // 2, levels[rows, np.minimum(bins_NSP, window // 2)], 0.0)
    levels_NS = levels_NSP.mean(axis=2)
    return float((levels_NS[:, 0] - levels_NS[:, 1:].mean(axis=1)).mean())


def _root_mean_square(audio: npt.NDArray[np.float32]) -> float:
    return math.sqrt(np.mean(np.square(audio, dtype=np.float64)))


def _levels(windows_NW: npt.NDArray[np.float32], loudness: float) -> npt.NDArray[np.float64]:
    """The logarithms of the levels of a sound's frequencies (N, W // 2 + 1), against the loudness of its recording."""
    window_W = np.hanning(windows_NW.shape[1])
    window_W *= _CONTRAST / (loudness * window_W.sum())
    return np.log1p(np.abs(np.fft.rfft(windows_NW * window_W)))
