"""Clips to listen to while a model trains: written to the run folder and to Weights & Biases."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import soundfile
from torch import Tensor

from wavenet_pl.audio.levels import measure
from wavenet_pl.config.training import SamplesConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation.recordings import english_recordings
from wavenet_pl.tracking.rows import is_there
from wavenet_pl.training.callbacks.clip_scores import ClipScorer, Scores
from wavenet_pl.training.callbacks.clip_sets import ClipRow, read_rows, set_folder, steps_of_sets, write_clips
from wavenet_pl.training.callbacks.clips import ClipPair, Prompt, choose_prompts, make_clips
from wavenet_pl.training.callbacks.ranks import any_rank
from wavenet_pl.training.callbacks.steps import StepCallback, is_last_step
from wavenet_pl.training.callbacks.throughput import Throughput
from wavenet_pl.training.module import WaveNetModule
from wavenet_pl.training.wandb_logger import RunTracker

_log = logging.getLogger(__name__)

_COLUMNS = (
    "step", "prompt", "condition", "kind", "seed", "clip", "temperature", "seconds", "peak dBFS", "% clipped",
    "entropy bits", "bits", "real-time factor", "engine", "STOI", "words",
)  # fmt: skip
_KEY = "val/clips"
_LOGGED = f"{_KEY}/free-running"
"""Of every set; where W&B has it at a step, it has the set."""


class SampleLogger(StepCallback):
    """Generates clips from fixed prompts with fixed seeds: what differs between them is the training.

    Acts after every ``samples.every_n_steps`` optimizer steps, and after the last one.
    All ranks share the clips and wait for each other, at most about ``samples.budget_seconds`` each time;
    then rank 0 spends a second or two on judging and writing. The training itself is not touched: losses are the same
    bits with and without.

    For each prompt, a recording of the validation split, there are three clips: the recorded one; a
    free-running one that goes on from its beginning; a teacher-forced one, each sample drawn given the
    recorded ones before it. They go to FOLDER/step-000001000/ as WAV, spectrogram and clips.jsonl, and to
    W&B as val/clips/KIND, val/spectrograms and val/clips_table, the recorded ones once. Levels are as the
    model made them: nothing is normalised.

    Of a model that is told what a recording sounds like, judges say how like it the free-running clips are: val/stoi
    and val/words_understood.

    Where the outputs of the model are not finite there is a warning, and no set.

    Args:
        config: when, how many, how long, how drawn.
        folder: where the sets go, usually RUN/clips.
        weights: a context in which a module has the weights to generate with, such as
            `AveragedWeights.averaged`.
        stopping: whether the run is about to stop at this step, on this rank; then a set is given up on all ranks, and
            made when the run goes on.
    """

    def __init__(
        self,
        config: SamplesConfig,
        folder: str | os.PathLike[str],
        *,
        weights: Callable[[WaveNetModule], AbstractContextManager[Any]] = nullcontext,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.config = config
        self.folder = Path(folder)
        self._weights, self._stopping = weights, stopping
        self._prompts: list[Prompt] = []
        self._scorer: ClipScorer | None = None
        self._refused = False  # whether the newest set could not be written

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reads the prompts: a mistake in the settings shows at the start. Makes what a run that stopped here owes."""
        super().on_train_start(trainer, pl_module)
        step = self.step
        if not self.config.every_n_steps:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, AudioDataModule)
        self._prompts = choose_prompts(data, self.config)
        assert isinstance(pl_module, WaveNetModule)
        if trainer.is_global_zero and any(each.resynthesises for each in data.inputs):
            self._scorer = ClipScorer(
                pl_module.model, english_recordings(data.splits["val"], data.shard_set.labels)
            )
        due = step > 0 and (step % self.config.every_n_steps == 0 or is_last_step(trainer))
        owed = due and not is_there(set_folder(self.folder, step))
        if any_rank(trainer, owed and trainer.is_global_zero):
            self._make(trainer, pl_module)
        if trainer.is_global_zero:
            for earlier in steps_of_sets(self.folder):
                if earlier <= step:
                    self._log(trainer, earlier)  # where a kill cost W&B the set; it takes none twice

    def on_step_end(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        """Makes clips where the step is due, and after the last one.

        Those of the finished model come before it is saved: a run that is killed meanwhile is not finished yet.
        """
        if self._prompts and (self.step % self.config.every_n_steps == 0 or is_last_step(trainer)):
            self._make(trainer, module)

    def _make(self, trainer: L.Trainer, module: WaveNetModule) -> None:
        model = module.model
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks:
            if isinstance(callback, Throughput):
                callback.leave_out()
        if any_rank(trainer, self._stopping()):
            return
        with self._weights(module):
            try:
                pairs = make_clips(
                    model, self._prompts, self.config, rank=trainer.global_rank, world_size=trainer.world_size,
                    gather=lambda rows: _gather(module, rows), stopping=self._stopping,
                )  # fmt: skip
            except BadDataError as error:  # whether that ends the run, the steps decide
                if trainer.is_global_zero:
                    _log.warning(f"step {trainer.global_step} has no clips: {error}")
                return
        if not any_rank(trainer, self._stopping()) and trainer.is_global_zero:
            step, rate = trainer.global_step, model.sample_rate
            conditions = [prompt.describe(model.conditioner) for prompt in self._prompts]
            scores = Scores()
            if self._scorer is not None:
                scores = self._scorer.score(self._prompts, pairs, self._stopping)
                if self._stopping():
                    return
            rows = describe_clips(step, self._prompts, conditions, pairs, self.config, rate, scores.facts)
            folder = self._write(step, rows, rate)
            if folder is not None:
                self._log(trainer, step)
            for logger in trainer.loggers if scores.metrics else ():
                logger.log_metrics(scores.metrics, step=step)
            summary = ": ".join(filter(None, (f"clips in {folder}" if folder else "", scores.summary)))
            if trainer.progress_bar_callback is not None and summary:
                trainer.progress_bar_callback.print(summary)

    def _write(self, step: int, rows: list[ClipRow], sample_rate: int) -> Path | None:
        """The folder of the set; None where the disk refuses it: whether that ends a run, its checkpoints decide."""
        try:
            folder = write_clips(self.folder, step, rows, sample_rate)
        except (OSError, soundfile.SoundFileError) as error:
            log = _log.debug if self._refused else _log.warning  # once, and not for every set
            reason = getattr(error, "strerror", None) or error
            log(
                f"clips of step {step} could not be written to {self.folder} ({reason}); make room for the next ones"
            )
            self._refused = True
            return None
        self._refused = False
        return folder

    def _log(self, trainer: L.Trainer, step: int) -> None:
        folder = set_folder(self.folder, step)
        for logger in trainer.loggers:
            if isinstance(logger, RunTracker):
                logger.log_media(_LOGGED, lambda wandb: _media(wandb, folder), step)


def _gather(pl_module: L.LightningModule, rows: Tensor) -> Tensor:
    gathered = pl_module.all_gather(
        rows
    )  # (world_size, rows, ...), or as they are where this is the only rank
    assert isinstance(gathered, Tensor)
    return gathered if gathered.ndim == rows.ndim else gathered.flatten(0, 1)


def describe_clips(
    step: int,
    prompts: list[Prompt],
    conditions: list[str],
    pairs: list[ClipPair],
    config: SamplesConfig,
    sample_rate: int,
    scores: Sequence[Mapping[str, Any]] | None = None,
) -> list[ClipRow]:
    """Three rows for each clip: recorded, teacher-forced, free-running. Equal models give equal captions.

    Args:
        step: optimizer steps done.
        prompts: what the clips begin like.
        conditions: what the model was conditioned on for each, in words.
        pairs: the clips.
        config: how they were made.
        sample_rate: of all of them.
        scores: what judges say of each free-running clip; None for nothing.
    """
    rows = []
    judged = scores or [{}] * len(pairs)
    for number, (prompt, condition, pair, score) in enumerate(
        zip(prompts, conditions, pairs, judged, strict=True)
    ):
        drawing = {"seed": config.seed, "clip": number, "temperature": config.temperature}
        drawn = f"seed {config.seed}, clip {number}, temperature {config.temperature:g}"
        drawn += f", top-p {config.top_p:g}" if config.top_p < 1 else ""
        after = f"free-running after {config.prompt_seconds:g} s"
        if len(pair.free) < round(config.seconds * sample_rate):
            made = len(pair.free) / sample_rate
            after += f", {made:.2f} of {config.seconds:g} s made in {config.budget_seconds:g} s"
        forced_facts = {**drawing, "entropy bits": pair.entropy, "bits": pair.bits}
        free_facts = {
            **drawing, "real-time factor": pair.real_time_factor, "engine": pair.engine, **score
        }  # fmt: skip
        if score.get("STOI") is not None:
            after += f" | STOI {score['STOI']:.2f}"
        for kind, audio, text, facts in (
            ("recorded", prompt.audio, "recorded", {}),
            ("teacher-forced", pair.forced, f"teacher-forced | {drawn}", forced_facts),
            ("free-running", pair.free, f"{after} | {drawn}", free_facts),
        ):
            levels = measure(audio)
            known = {
                "step": step,
                "prompt": prompt.key,
                "condition": condition,
                "kind": kind,
                "seconds": len(audio) / sample_rate,
                "peak dBFS": levels.peak_db if levels.peak else None,
                "% clipped": 100 * levels.clipped,
                **facts,
            }
            parts = [f"step {step}", prompt.key, *([condition] if condition else []), text, levels.describe()]
            caption = " | ".join(parts)
            rows.append(ClipRow(number, kind, audio, caption, {name: known.get(name) for name in _COLUMNS}))
    return rows


def _media(wandb: Any, folder: Path) -> dict[str, Any]:
    """The clips of a set's folder as objects of W&B, by their keys; recorded ones where the set before has others."""

    def recordings(folder: Path) -> list[tuple[str, float]]:
        return [(row["prompt"], row["seconds"]) for row in read_rows(folder) if row["kind"] == "recorded"]

    rows = read_rows(folder)
    sets = [set_folder(folder.parent, step) for step in steps_of_sets(folder.parent)]
    before = [path for path in sets if path < folder][-1:]
    kinds = dict.fromkeys(row["kind"] for row in rows)
    if any(recordings(path) == recordings(folder) for path in before):
        del kinds["recorded"]
    for row in rows:
        row.setdefault("condition", row.get("told"))  # as version 0.1.0 called it

    def audio(row: dict[str, Any]) -> Any:
        samples, rate = soundfile.read(folder / row["file"], dtype="int16")
        return wandb.Audio(samples, sample_rate=rate, caption=row["caption"])

    pictures = {row["file"].split("-")[0]: f"step {row['step']} | {row['prompt']}" for row in rows}
    return {
        # Beside the table: there, audio can only be reached through the table's artifact.
        **{f"{_KEY}/{kind}": [audio(row) for row in rows if row["kind"] == kind] for kind in kinds},
        "val/spectrograms": [
            wandb.Image(str(folder / f"{number}.png"), caption=caption)
            for number, caption in pictures.items()
        ],
        "val/clips_table": wandb.Table(
            columns=[*_COLUMNS, "audio"],
            data=[[*(row[name] for name in _COLUMNS), audio(row)] for row in rows],
        ),
    }
