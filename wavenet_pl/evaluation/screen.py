"""What can be wrong with a clip, detected without a listener: one small function for each way that generation fails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.levels import measure

Audio = npt.NDArray[np.float32]

_QUIET_DB = -60.0
"""RMS of a clip that nobody hears. A whisper is recorded at -45 dB; a network stuck near silence stays below -70."""
_CLIPPED = 0.01
"""Share of samples at full scale. Recordings that were mastered too hot have a few in a thousand."""
_OFFSET = 0.1
"""Mean of a clip. Converters leave 0.001, and the worst of a thousand recordings of speech and music have 0.08."""
_LOPSIDED = 0.5
"""Mean over RMS: so much of a clip is no sound. Speech, whose pulses are lopsided, has 0.01; a bad microphone 0.6."""
_FLAT = 0.75
"""Flatness of the mean spectrum of half a second: white noise 0.93, speech and music up to 0.45, a noisy room 0.63."""
_FLAT_SECONDS, _FLAT_FRAME, _FLAT_FRAMES, _FLAT_DB = 0.5, 512, 8, -40.0
"""Windows that flatness is looked at in, samples of one spectrum, spectra at least, and the level of a quiet room."""
_STUCK_SECONDS = 0.1
"""A value or a cycle that repeats exactly for so long. Recordings have noise, and do so in digital silence only."""
_LONGEST_CYCLE = 64
"""Samples; longer cycles are tones that a voice could have."""
_STUCK_DB = -50.0
"""Below this level repetition is silence between words."""


def silence(audio: Audio, sample_rate: int) -> str:
    """The clip as a whole is too quiet to hear."""
    level = measure(audio).rms_db
    return f"is silence (RMS {level:.0f} dB)" if level < _QUIET_DB else ""


def clipping(audio: Audio, sample_rate: int) -> str:
    """It is at the ceiling far longer than a peak lasts."""
    share = measure(audio).clipped
    return f"is clipped ({100 * share:.0f} % of its samples)" if share > _CLIPPED else ""


def offset(audio: Audio, sample_rate: int) -> str:
    """It swings about a value that is not zero (DC)."""
    mean, rms = float(np.mean(audio, dtype=np.float64)) if len(audio) else 0.0, measure(audio).rms
    lopsided = abs(mean) > max(_OFFSET, _LOPSIDED * rms)
    return f"swings about {mean:+.2f} and not about zero" if lopsided else ""


def noise(audio: Audio, sample_rate: int) -> str:
    """Somewhere in it, for half a second, there is loud noise with no shape: generation ran away."""
    size = min(round(_FLAT_SECONDS * sample_rate), len(audio))
    frame = min(_FLAT_FRAME, size // _FLAT_FRAMES)
    for start in range(0, len(audio) - size + 1, max(1, size // 2)):
        window = audio[start : start + size]
        if frame < 16 or measure(window).rms_db < _FLAT_DB:
            continue
        frames = window[: size // frame * frame].reshape(-1, frame).astype(np.float64)
        power = (np.abs(np.fft.rfft(frames * np.hanning(frame))[:, 1:]) ** 2).mean(axis=0) + 1e-20
        if float(np.exp(np.log(power).mean()) / power.mean()) > _FLAT:
            return f"is noise (its spectrum is flat from {start / sample_rate:.1f} s on)"
    return ""


def locked(audio: Audio, sample_rate: int) -> str:
    """One value, or a short cycle of values, comes again and again: the network is in a loop."""
    size = max(2, round(_STUCK_SECONDS * sample_rate))
    for cycle in range(1, _LONGEST_CYCLE + 1):
        if len(audio) < cycle + size:
            return ""
        changes = np.flatnonzero(audio[cycle:] != audio[:-cycle])
        edges = np.concatenate([[-1], changes, [len(audio) - cycle]])
        for run in np.flatnonzero(np.diff(edges) > size):
            begin = int(edges[run]) + 1
            stretch = audio[begin : int(edges[run + 1]) + cycle]
            if measure(stretch).rms_db > _STUCK_DB:
                what = "one value" if cycle == 1 else f"a cycle of {cycle} values"
                return f"is locked in {what} for {len(stretch) / sample_rate:.1f} s from {begin / sample_rate:.1f} s"
    return ""


KINDS: dict[str, Callable[[Audio, int], str]] = {
    "silence": silence,
    "clipping": clipping,
    "locked": locked,
    "DC": offset,
    "noise": noise,
}
"""Kind of fault -> what looks for it in a clip (samples,); empty texts are good news."""


def screen(audio: Audio, sample_rate: int) -> dict[str, str]:
    """Kind of fault -> what is wrong, in words, for the faults that a clip (samples,) of full scale 1 has."""
    texts = {kind: look(audio, sample_rate) for kind, look in KINDS.items()}
    return {kind: text for kind, text in texts.items() if text}
