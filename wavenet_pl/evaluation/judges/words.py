"""Which English words are understood: by PocketSphinx, whose model is in its package."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.resampling import resample
from wavenet_pl.audio.wav import to_int16
from wavenet_pl.errors import UserError
from wavenet_pl.runs.machine import usable_cores
from wavenet_pl.runs.versions import INSTALL_JUDGES
from wavenet_pl.signals import EXIT_CODES

_RATE = 16_000
_MOST_HYPOTHESES = 10_000
"""For each frame of 10 ms. Clean speech needs no more, and noise would keep three times as many, for twice the time."""
_MOST_PROCESSES = 8
_FEWEST_CLIPS = 3
"""For each process: it takes as long to begin as to hear one."""


class Recogniser:
    """A recogniser of American English (Huggins-Daines et al., 2006): old and small, and the same on every machine.

    Raises:
        UserError: its package is not installed.
    """

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise UserError(
                f"pocketsphinx cannot be imported ({error}), so no words are judged; run {INSTALL_JUDGES}"
            ) from None
        self._decoder = pocketsphinx.Decoder(samprate=_RATE, maxhmmpf=_MOST_HYPOTHESES, loglevel="FATAL")

    def hear(self, audio: npt.NDArray[np.float32], sample_rate: int) -> list[str]:
        """The words of a clip (samples,) of full scale 1."""
        return self.hear_samples(_samples(audio, sample_rate))

    def hear_samples(self, samples: npt.NDArray[np.int16]) -> list[str]:
        """The same of samples as the recogniser takes them."""
        if not len(samples):
            return []
        # It goes on with what it has learned of the last clip's level, and never recovers from digital silence.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        return [] if best is None else best.hypstr.split()


def _samples(audio: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.int16]:
    return to_int16(resample(np.asarray(audio, np.float32), sample_rate, _RATE))


def hear_all(
    recogniser: Recogniser,
    clips: Sequence[npt.NDArray[np.float32]],
    sample_rate: int,
    processes: int | None = None,
) -> list[list[str]]:
    """The words of many clips, shared out between processes: a recogniser holds the interpreter while it hears.

    Args:
        recogniser: for where one process is enough.
        clips: (samples,) each, of full scale 1.
        sample_rate: of all of them.
        processes: how many; as many as there are cores, and clips for them, if None.
    """
    samples = [_samples(clip, sample_rate) for clip in clips]
    most = min(usable_cores(), _MOST_PROCESSES, len(samples) // _FEWEST_CLIPS)
    number = max(1, most) if processes is None else processes
    if number == 1:
        return [recogniser.hear_samples(each) for each in samples]
    # Programs of their own, so that nothing of a user's is imported again, but for where things are imported from.
    program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"

    def hear_share(share: int) -> list[list[str]]:
        # One that is sent to the whole group is for us to answer; a program inherits what its thread has blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)
        file = io.BytesIO()
        np.savez(file, *samples[share::number])
        command = [sys.executable, "-c", program]
        lines = subprocess.run(
            command, input=file.getvalue(), stdout=subprocess.PIPE, check=True
        ).stdout.decode()
        return [line.split() for line in lines.splitlines()]

    with ThreadPoolExecutor(number) as pool:
        shares = list(pool.map(hear_share, range(number)))
    return [shares[position % number][position // number] for position in range(len(samples))]


class Alignment(NamedTuple):
    """Words of a clip beside those of its recording, in the way that needs the fewest changes."""

    same: int
    """Words that are in both, in the same order."""
    errors: int
    """Words that are missing, added or others."""


def align(reference: Sequence[str], heard: Sequence[str]) -> Alignment:
    """The fewest changes that make one of the other, and of such ways the one with the most words in common."""
    row = [(added, 0) for added in range(len(heard) + 1)]
    for missing, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], (missing, 0)
        for column, other in enumerate(heard, start=1):
            equal = word == other
            ways = (
                (diagonal[0] + (not equal), diagonal[1] - equal),
                (row[column][0] + 1, row[column][1]),
                (row[column - 1][0] + 1, row[column - 1][1]),
            )
            diagonal, row[column] = row[column], min(ways)
    errors, same = row[-1]
    return Alignment(-same, errors)


def main() -> None:
    """Reads clips of samples from stdin, and writes the words of each as a line: one of the processes of `hear_all`."""
    clips = np.load(io.BytesIO(sys.stdin.buffer.read()))
    recogniser = Recogniser()
    for name in clips.files:
        print(" ".join(recogniser.hear_samples(clips[name])))
