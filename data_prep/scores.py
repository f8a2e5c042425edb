"""The score of a recording: its MIDI file, and whether the two belong together."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from data_prep.sources import Source, printable
from wavenet_pl.errors import UserError
from wavenet_pl.features import MelSpec
from wavenet_pl.mel import mel_features
from wavenet_pl.midi import Notes, default_notes, read_midi

FARTHEST_SHIFT = 0.5
"""Seconds, to both sides, in which a shift is looked for."""
_LEAST_SHIFT = 3  # frames: attacks that take no time are measured 2 too early, those of a piano within 1
_LEAST_ONSETS = 8
_LEAST_CORRELATION = 0.2  # aligned pieces have 0.42 and more, notes of another piece less than this
_LISTENED_SECONDS = 600.0
_WINDOW_FRAMES, _BANDS = 8, 30


def fitting_notes(source: Source, num_samples: int, sample_rate: int) -> Notes:
    """The notes of a source, if they fit its audio: they begin before it ends, and none begins a frame after it.

    Args:
        source: what has them.
        num_samples: of its whole audio, before anything is cut off.
        sample_rate: of the audio in Hz.

    Raises:
        UserError: there is no MIDI file, it cannot be read or has no notes, or it does not fit.
    """
    if not source.midi_path:
        missing = (
            f"metadata.csv names {source.midi}, and there is no such file" if source.midi else "no MIDI file"
        )
        raise UserError(f"{missing}, expected one with its notes")
    name = source.midi or ""
    try:
        notes = read_midi(source.midi_path)
    except UserError as error:
        raise UserError(str(error).replace(printable(source.midi_path), name)) from None
    if not len(notes.onsets):
        raise UserError(f"{name} has no notes that a piano can play")
    seconds, frame = num_samples / sample_rate, default_notes(sample_rate).hop_length / sample_rate
    if notes.onsets[0] >= seconds or notes.onsets[-1] > seconds + frame:
        raise UserError(
            f"{name} does not fit: its notes begin from {notes.onsets[0]:.2f} to {notes.onsets[-1]:.2f} s, "
            f"the audio has {seconds:.2f} s"
        )
    return notes


def find_shift(
    notes: Notes, audio: npt.NDArray[np.float32], sample_rate: int, start: int = 0
) -> float | None:
    """By how many seconds the notes come before what is heard, if that is more than an attack explains.

    The onsets are held against the rise of energy in the bands of the mel scale, from frame to frame of the notes, at
    every shift within `FARTHEST_SHIFT`. Where none of them stands out, or there are few notes, nothing is said.

    Args:
        notes: of the source.
        audio: (samples,), what is left of the source.
        sample_rate: in Hz.
        start: samples of the source before `audio`.
    """
    hop = default_notes(sample_rate).hop_length
    spec = MelSpec(
        hop_length=hop,
        window_length=_WINDOW_FRAMES * hop,
        num_mels=_BANDS,
        lowest_hz=0.01 * sample_rate,
        highest_hz=0.475 * sample_rate,
        floor_db=-80.0,
    )
    mel_NF = mel_features(spec, audio[: round(_LISTENED_SECONDS * sample_rate)], sample_rate).astype(
        np.float64
    )
    rise_N = np.zeros(len(mel_NF))
    rise_N[1:-1] = np.maximum(mel_NF[2:] - mel_NF[:-2], 0).sum(axis=1)
    rise_N -= rise_N.mean()
    frames = (np.rint(notes.onsets * sample_rate).astype(np.int64) - start) // hop
    frames = np.unique(frames[(frames >= 0) & (frames < len(rise_N))])
    if len(frames) < _LEAST_ONSETS:
        return None
    struck_N = np.zeros(len(rise_N))
    struck_N[frames] = 1
    reach = round(FARTHEST_SHIFT * sample_rate / hop)
    size = 2 ** math.ceil(math.log2(len(rise_N) + 2 * reach))
    product = np.fft.irfft(np.fft.rfft(rise_N, size) * np.fft.rfft(struck_N, size).conj(), size)
    correlation = np.concatenate([product[-reach:], product[: reach + 1]])
    correlation /= math.sqrt(float((rise_N**2).sum()) * len(frames)) + 1e-12
    best = int(correlation.argmax())
    if correlation[best] < _LEAST_CORRELATION or abs(best - reach) < _LEAST_SHIFT:
        return None
    return (best - reach) * hop / sample_rate
