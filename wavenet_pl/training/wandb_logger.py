"""The Weights & Biases logger: one run id over all restarts, no secrets, nothing that stops a training."""

from __future__ import annotations

import importlib.util
import logging
import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as L
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import DummyExperiment, rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from typing_extensions import override

from wavenet_pl.config.training import WandbConfig
from wavenet_pl.errors import UserError
from wavenet_pl.tracking.rows import best_numbers, each_row
from wavenet_pl.tracking.wandb_ledger import Ledger
from wavenet_pl.training import metrics_file
from wavenet_pl.training.wandb_description import Description, machine_facts, presentable
from wavenet_pl.training.wandb_model import send_index, send_model, use_model
from wavenet_pl.training.wandb_session import (
    STEP,
    begin_run,
    end_run,
    end_session,
    folder_of,
    no_run,
    one_line,
)

_log = logging.getLogger(__name__)

_THINNED = ("train/", "optim/")  # validation, clips and speeds are rare anyway
_SEND_AGAIN = "the same command sends the rest"
_MODES: dict[str, Literal["offline", "disabled"]] = {
    "offline": "offline", "dryrun": "offline", "disabled": "disabled",
}  # fmt: skip
"""Values of WANDB_MODE that say more than auto does."""


def build_wandb_logger(
    config: WandbConfig,
    *,
    run_dir: Path,
    run_id: str,
    run_config: Mapping[str, Any],
    index_fingerprint: str,
    name: str | None = None,
    job_type: str = "train",
    tags: Sequence[str] = (),
) -> RunTracker | None:
    """The logger that the configuration asks for, or None where there is nothing to log to.

    ``wandb.mode: auto`` follows the variable WANDB_MODE, and else is online where a key is set.

    Args:
        config: mode, project and so on.
        run_dir: W&B's files go to its subfolder wandb.
        run_id: the same at each start of a run, which makes W&B go on with it.
        run_config: what describes the run: resolved settings, git commit, number of parameters, receptive
            field. Any secrets in it are replaced, and paths are shortened unless ``wandb.machine`` asks for them.
        index_fingerprint: of the data; shown in the config, and where the lineage of model artifacts begins.
        name: what W&B shows; the run id by default.
        job_type: what kind of work the run is.
        tags: words to find it by, beside those of the configuration.
    """
    mode = config.mode
    if mode == "auto":
        mode = _MODES.get(os.environ.get("WANDB_MODE", "").lower(), "auto")
    if mode == "disabled":
        return None
    if importlib.util.find_spec("wandb") is None:
        _log.warning(
            "wandb is not installed: this run is tracked in metrics.jsonl alone; type `pip install wandb`"
        )
        return None
    facts = {**run_config, "index_fingerprint": index_fingerprint, **machine_facts(config, run_dir)}
    description = Description(
        run_id=run_id, name=name or run_id, job_type=job_type, tags=tuple(tags), config=presentable(facts, config)
    )  # fmt: skip
    return RunTracker(config, description, mode=mode, run_dir=run_dir, index_fingerprint=index_fingerprint)


class RunTracker(WandbLogger):
    """Lightning's W&B logger with these defects mended.

    - A server that refuses, hangs or answers 401, 403 or 500 at the start costs at most ``init_timeout``;
      then the run goes on offline. Later failures cost a warning. Each time one line says how to send the
      rows another time.
    - The run id comes from outside, so a run that was requeued goes on instead of opening another one.
    - No key is logged twice at a step, over all starts of a run, and what a kill or a server cost is sent again
      at the next one (see `catch_up`).
    - Neither environment, command line nor code are recorded, host, user, paths and console only where the
      configuration asks for them, and the config is redacted.
    - The best of each number of a validation is in the summary as ``best/KEY``, over all starts of the run: what W&B
      itself can keep there begins anew at each start.
    - Training rows are thinned to every ``log_every_n_steps``-th step; validation, speeds and clips always go.
    - Rows are numbered by the optimizer steps that are done (see `attach`).

    Rank 0 makes the run, at the first access to `experiment`; other ranks do nothing. Call `finish` at the
    very end. Arguments as `build_wandb_logger`.
    """

    def __init__(
        self,
        config: WandbConfig,
        description: Description,
        *,
        mode: Literal["auto", "online", "offline"],
        run_dir: Path,
        index_fingerprint: str,
    ) -> None:
        super().__init__(
            project=config.project, save_dir=run_dir, id=description.run_id, name=description.name
        )
        self.config, self.description = config, description
        self.mode: Literal["auto", "online", "offline"] = mode
        self.run_dir = run_dir
        self._experiment: Any = None
        self.index_fingerprint = index_fingerprint
        self.failures = 0
        """How often W&B did not take what it was given."""
        self._trainer: L.Trainer | None = None
        self._index_used = False
        self._ledger = Ledger(self.run_dir)
        self._best: dict[str, float] = {}
        self._media: dict[tuple[str, int], Callable[[Any], Mapping[str, Any]]] = {}

    def attach(self, trainer: L.Trainer) -> None:
        """Number the rows by the trainer's steps; Lightning's own number of a training row is one less."""
        self._trainer = trainer

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, begun at the first access; an object that does nothing where none could be begun."""
        if self._experiment is None:
            try:
                self._experiment = self._begin()
            except (UserError, OSError) as error:
                self._experiment = no_run(error)
        return self._experiment

    @property
    @override
    def version(self) -> str:
        return self.description.run_id

    @override
    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        values = presentable(vars(params) if isinstance(params, Namespace) else params, self.config)
        self._attempt(lambda: self.experiment.config.update(values, allow_val_change=True))

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, or W&B's media objects, as one row."""
        self._hand_over(metrics, step if self._trainer is None else self._trainer.global_step)
        self._show_best([metrics])

    @rank_zero_only
    def log_media(self, key: str, build: Callable[[Any], Mapping[str, Any]], step: int) -> None:
        """Log W&B's own objects.

        Args:
            key: one of what is logged. Where W&B has it at this step, or there is no run, nothing happens.
            build: makes the objects by their keys, given the module wandb; later again if they are lost.
            step: optimizer steps done.
        """
        self._media[key, step] = build
        if not isinstance(self.experiment, DummyExperiment) and key not in self._ledger.logged(step):
            import wandb

            self._attempt(lambda: self._hand_over(build(wandb), step))

    @rank_zero_only
    def use_model(self, fingerprint: str) -> None:
        """Say which model the run began with, by the hash of its weights."""
        if not isinstance(self.experiment, DummyExperiment):
            self._attempt(lambda: use_model(self.experiment, fingerprint))

    @rank_zero_only
    def catch_up(self) -> int:
        """Send again what W&B lacks of metrics.jsonl, since a kill, a server or a full disk cost it.

        Call it at each start, after metrics.jsonl was cut back and before training. The first start of a run has
        nothing to catch up with, and costs nothing.

        Returns:
            How many rows were sent again.
        """
        rows = self.run_dir / metrics_file.NAME
        if not self._ledger.exists or not rows.exists():
            return 0
        lost, validations = 0, []
        for row in each_row(rows):
            validations += [row] if any(key.startswith("val/") for key in row) else []
            values = {key: value for key, value in row.items() if key not in ("step", "epoch", "time")}
            lost += self._hand_over(values, row.get("step"))
        self._show_best(validations)
        for (key, step), build in self._media.items():
            self.log_media(key, build, step)
        if lost:
            _log.warning(f"W&B had lost {lost} rows; they were sent again")
        return lost

    @rank_zero_only
    def log_model(
        self, path: str | os.PathLike[str], aliases: Sequence[str], metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Keep a checkpoint as a version of the artifact ``model-<run id>``, made from this index.

        Does nothing unless ``wandb.artifacts`` is set. The file is copied at once and may go afterwards. The
        index appears as an artifact that the run used, a mere reference: no audio leaves the machine.

        Args:
            path: the checkpoint.
            aliases: names of the version, such as ``best`` and ``last``.
            metadata: facts to show beside it, such as step and bits.
        """
        if self.config.artifacts:
            self._attempt(lambda: self._send_model(Path(path), aliases, metadata or {}))

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """Close the run; waits ``finish_timeout`` for the upload at most. Nothing can be logged afterwards.

        Args:
            exit_code: what the process is about to exit with; W&B shows 85 as preempted, and all but 0 as
                failed.
        """
        run, self._experiment = self._experiment, DummyExperiment()
        if run is None or isinstance(run, DummyExperiment):
            return
        try:
            try:
                end_run(run, exit_code, self.config.finish_timeout)
            except ConnectionError:
                # wandb's own process died, as of a SIGTERM to all processes of a job: another one takes its place.
                end_session()
                self._experiment = None
                self.catch_up()
                run, self._experiment = self.experiment, DummyExperiment()
                if isinstance(run, DummyExperiment):
                    return
                end_run(run, exit_code, self.config.finish_timeout)
            end_session()  # until then wandb may not have written all
            folder = folder_of(run)
            if run.offline and (lost := self._ledger.num_lost(folder)):
                _log.warning(f"W&B's log in {folder} lacks {lost} rows; is the disk full? {_SEND_AGAIN}")
        except Exception as error:  # noqa: BLE001 - wandb raises whatever it likes
            _log.warning(f"W&B did not get everything ({one_line(error)}); {_SEND_AGAIN}")
            end_session()
        if self.failures:
            _log.warning(f"W&B failed {self.failures} times to take what it was given; metrics.jsonl has all")

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Nothing yet: the trainer calls this after each fit or validation. See `finish`."""

    def _begin(self) -> Any:
        """Begin the run, knowing what earlier starts logged."""
        earlier, self._best = self._ledger.read(), {}
        run = begin_run(self.config, self.description, mode=self.mode, run_dir=self.run_dir)
        if not isinstance(run, DummyExperiment):
            self._ledger.begin(earlier, folder_of(run), None if run.offline else run.starting_step)
        return run

    def _hand_over(self, metrics: Mapping[str, Any], step: int | None) -> bool:
        """Give W&B what it lacks of a row; whether there was anything."""
        if isinstance(self.experiment, DummyExperiment):
            return False
        logged = self._ledger.logged(step)
        thin = step is not None and step % self.config.log_every_n_steps != 0
        values = {
            key: value
            for key, value in metrics.items()
            if key not in logged and not (thin and key.startswith(_THINNED))
        }
        if values.keys() <= {"epoch"}:
            return False

        def send() -> None:
            self._ledger.note(step, values)
            self.experiment.log(values if step is None else {**values, STEP: step})
            self._ledger.took(step, values)

        self._attempt(send)
        return True

    def _show_best(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put into the summary what is better in the rows than all before."""
        better = best_numbers(rows, self._best)
        if better and not isinstance(self.experiment, DummyExperiment):
            self._best |= better
            shown = {f"best/{key}": value for key, value in better.items()}
            self._attempt(lambda: self.experiment.summary.update(shown))

    def _send_model(self, path: Path, aliases: Sequence[str], metadata: Mapping[str, Any]) -> None:
        if not self._index_used:
            send_index(self.experiment, self.index_fingerprint)
            self._index_used = True
        send_model(self.experiment, path, aliases, metadata, self.index_fingerprint)

    def _attempt(self, call: Callable[[], object]) -> None:
        """Calls without raising: tracking must not end a training of days. Warns of the first failure, counts all."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - wandb raises whatever it likes
            self.failures += 1
            if self.failures == 1:
                _log.warning(f"W&B failed ({one_line(error)}); training and metrics.jsonl go on")
