"""Which audio is read, and what can be odd about a file of it."""

from __future__ import annotations

AUDIO_EXTENSIONS = (
    "flac", "wav", "ogg", "mp3", "opus", "oga", "aiff", "aif", "sph", "w64", "rf64", "caf",
)  # fmt: skip
"""Names of audio files end so. What they hold is seen in their first bytes."""
SAMPLE_RATES = range(1_000, 768_001)
"""Sample rates that are audio in Hz. A header that says 1 Hz would turn seconds into hours."""
LONGEST_SECONDS = 4 * 3600.0
"""Longer audio is refused as soon as it is: an hour at 16 kHz takes 230 MB while it is worked on."""

FULL_SCALES = 2.0
"""Decoders of MP3 and Ogg pass full scale by a little; nothing that was meant so passes it by 6 dB."""
ODDITIES = {
    "length": "its header claims another length than it has; it is read to its true end",
    "joined": "several streams lie in the file one after the other, and all are read",
    "unfinished": "its last page or frame is cut, or not marked as the last: the rest may be missing",
    "foreign bytes": "bytes before, between or behind the audio are none, and are passed over",
    "header": "its header contradicts itself, or what it was written for",
    "broken frames": "the decoder passed over frames that it cannot read, and put silence there",
    "beyond full scale": f"samples pass {FULL_SCALES:g} times full scale: floats in the scale of 16 bits?",
}
"""What is reported of a file that is read all the same -> what it means."""
