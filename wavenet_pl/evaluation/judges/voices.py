"""Whose voice is heard: Resemblyzer's network, and how like the recordings of a speaker clips are to it.

Shapes: N clips, M recordings, D numbers of an embedding.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from wavenet_pl.audio.resampling import resample
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.judges.likeness import Embeddings, Measure, cosines, frechet_distance
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.runs.versions import INSTALL_EVALUATE

FEWEST_CLIPS = 16
"""For a Frechet distance. Of speech, 16 clips of one speaker are further from those of five than these are among
themselves, by three standard deviations of chance; 8 by less than two, and 4 not at all."""


class VoiceJudge:
    """A network that was trained to tell speakers apart by a second or two of speech (Wan et al., 2018).

    It runs on the CPU, with torch's threads, and leaves torch's random numbers as they were.

    Raises:
        UserError: its package is not installed, or does not load.
    """

    def __init__(self) -> None:
        try:
            # It imports names that SciPy and setuptools are about to drop, and says so each time.
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")
                import resemblyzer

                self._encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
        except ImportError as error:
            raise UserError(
                f"Resemblyzer cannot be imported ({error}), so no voices are judged; run {INSTALL_EVALUATE}"
            ) from None
        self._package = resemblyzer

    def embed(self, audio: npt.NDArray[np.float32], sample_rate: int) -> Embeddings | None:
        """(D,) of length 1 for a clip (samples,) of full scale 1, any length; None where no voice is heard in it."""
        # Silence has no level that could be brought to the usual one.
        if not np.any(audio):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            speech = self._package.preprocess_wav(
                resample(np.asarray(audio, np.float32), sample_rate, self._package.sampling_rate)
            )
            if not np.any(speech):
                return None
            return np.asarray(self._encoder.embed_utterance(speech), np.float64)


def compare_speakers(
    generated_ND: Embeddings,
    recorded_ND: Embeddings,
    own_N: npt.NDArray[np.int64],
    recordings_MD: Embeddings,
    speakers_M: npt.NDArray[np.int64],
    sources_M: npt.NDArray[np.int64],
) -> Measure | None:
    """Cosine similarity of clips to the mean of their speaker's recordings; intervals are over recordings beside them.

    The recording that a clip stands beside is left out of the mean with all its parts, for both, so that none is
    compared with itself.
    Chance is the recorded clips beside the means of all other speakers. Clips whose speaker has no other recording do
    not count, and where there is only one speaker there is no chance.

    Args:
        generated_ND: of the generated clips.
        recorded_ND: of their recorded counterparts.
        own_N: row of each clip's recording in the next.
        recordings_MD: of the speakers' recordings.
        speakers_M: of the recordings, -1 where none is named.
        sources_M: the same number for parts of one recording.

    Returns:
        None where no clip counts.
    """
    named_M = speakers_M >= 0
    means = {row: recordings_MD[speakers_M == row].mean(axis=0) for row in np.unique(speakers_M[named_M])}
    kept, chances, chance_of = [], [], list[int]()
    for clip, own in enumerate(own_N.tolist()):
        same_M = (speakers_M == speakers_M[own]) & named_M
        same_M[sources_M == sources_M[own]] = False
        if same_M.any():
            kept.append((clip, recordings_MD[same_M].mean(axis=0)))
            others = np.array([mean for row, mean in means.items() if row != speakers_M[own]])
            if len(others):
                chances.append(cosines(np.tile(recorded_ND[clip], (len(others), 1)), others).mean())
                chance_of.append(int(sources_M[own]))
    if not kept:
        return None
    rows, speakers_ND = [clip for clip, _ in kept], np.array([mean for _, mean in kept])

    def mean(values_N: npt.ArrayLike, of: Sequence[int]) -> Interval:
        return mean_and_interval(values_N, np.ones_like(values_N), of)

    kept_of = sources_M[own_N[rows]].tolist()

    return Measure(
        "similarity to the speaker",
        mean(cosines(generated_ND[rows], speakers_ND), kept_of),
        mean(cosines(recorded_ND[rows], speakers_ND), kept_of),
        mean(chances, chance_of) if chances else None,
    )


def compare_sets(generated_ND: Embeddings, recorded_ND: Embeddings, others_ND: Embeddings) -> Measure | None:
    """Frechet distance of the generated clips from other recordings, beside that of their counterparts from the same.

    All three sets are cut to the same size, because few clips make the distance large. None below `FEWEST_CLIPS`.
    """
    number = min(len(generated_ND), len(others_ND))
    if number < FEWEST_CLIPS:
        return None
    made, real = (
        Interval(frechet_distance(each_ND[:number], others_ND[:number]), -math.inf, math.inf)
        for each_ND in (generated_ND, recorded_ND)
    )
    return Measure(f"Frechet distance, {number} clips", made, real)
