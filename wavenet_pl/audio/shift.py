"""Whether notes stand where they sound: by how much a MIDI file is shifted against its recording.

Shapes: N frames, W samples of a window.
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
    "unheard": f"the notes of the MIDI file meet what is heard at no shift up to {REACH_SECONDS:g} s: another piece?",
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
_BLOCK = 2048  # frames at a time


def shift_flaws(
    notes: Score, audio: npt.NDArray[np.float32], sample_rate: int, hop: int, start: int = 0
) -> dict[str, str]:
    """The flaw of `SHIFT_FLAWS` that notes have, with its measured size; empty where there are too few notes to tell.

    At each shift the recording's onset strength (spectral flux) is added up over the frames in which notes begin.

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
    if others.max(initial=0.0) > _ALIKE * there:
        return {"unheard": f"{len(struck)} onsets"}
    return {"shifted": f"{1000 * seconds:+.0f} ms"}


def _onset_strength(audio: npt.NDArray[np.float32], window: int, hop: int) -> npt.NDArray[np.float64]:
    """(N,): by how much a frame is louder than the one before, added up over the frequencies at which it is."""
    num_frames = -(-len(audio) // hop)
    level = math.sqrt(np.mean(np.square(audio, dtype=np.float64)))
    window_W = np.hanning(window)
    window_W *= _CONTRAST / (level * window_W.sum())
    strength_N = np.zeros(num_frames)
    for first in range(0, num_frames, _BLOCK):
        count = min(_BLOCK, num_frames - first)
        begin = (first - 1) * hop + hop // 2 - window // 2  # of the frame before the first
        end = begin + count * hop + window
        piece = np.pad(audio[max(begin, 0) : end], (max(-begin, 0), max(end - len(audio), 0)))
        windows_NW = np.lib.stride_tricks.sliding_window_view(piece, window)[::hop]
        levels = np.log1p(np.abs(np.fft.rfft(windows_NW * window_W)))
        strength_N[first : first + count] = np.maximum(np.diff(levels, axis=0), 0).sum(axis=1)
    return strength_N
