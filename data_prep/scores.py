"""The score of a recording: its MIDI file, and whether the two belong together."""

from __future__ import annotations

from data_prep.sources import Source, printable
from wavenet_pl.audio.midi import Notes, default_notes, read_midi
from wavenet_pl.errors import UserError


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
