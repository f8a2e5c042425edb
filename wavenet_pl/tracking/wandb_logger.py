"""The Weights & Biases logger: one run id over all restarts, no secrets, nothing that stops a training."""

from __future__ import annotations

import importlib.util
import logging
import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as L
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import DummyExperiment, rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from typing_extensions import override

from wavenet_pl.config import WandbConfig
from wavenet_pl.redaction import redact
from wavenet_pl.tracking.wandb_session import STEP, begin_run, end_session, how_to_send, one_line

_log = logging.getLogger(__name__)

_THINNED = ("train/", "optim/")  # validation, clips and speeds are rare anyway
_PREEMPTED = 85
_MODES: dict[str, Literal["offline", "disabled"]] = {
    "offline": "offline", "dryrun": "offline", "disabled": "disabled",
}  # fmt: skip
"""Values of WANDB_MODE that say more than auto does."""


def build_wandb_logger(
    config: WandbConfig,
    *,
    run_dir: str | os.PathLike[str],
    run_id: str,
    run_config: Mapping[str, Any],
    index_fingerprint: str,
    name: str | None = None,
) -> RunTracker | None:
    """The logger that the configuration asks for, or None where there is nothing to log to.

    ``wandb.mode: auto`` follows the variable WANDB_MODE, and else is online where a key is set.

    Args:
        config: mode, project and so on.
        run_dir: W&B's files go to its subfolder wandb.
        run_id: the same at each start of a run, which makes W&B go on with it.
        run_config: what describes the run: resolved settings, git commit, number of parameters, receptive
            field. Any secrets in it are replaced.
        index_fingerprint: of the data; shown in the config, and where the lineage of model artifacts begins.
        name: what W&B shows; the run id by default.
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
    return RunTracker(
        config, mode=mode, run_dir=run_dir, run_id=run_id, run_config=run_config,
        index_fingerprint=index_fingerprint, name=name,
    )  # fmt: skip


class RunTracker(WandbLogger):
    """Lightning's W&B logger with these defects mended.

    - A server that refuses, hangs or answers 401, 403 or 500 at the start costs at most ``init_timeout``;
      then the run goes on offline. Later failures cost a warning. Each time one line says how to send the
      rows another time.
    - The run id comes from outside, so a run that was requeued goes on instead of opening another one.
    - Neither environment, command line, host, console nor code are recorded, and the config is redacted.
    - Training rows are thinned to every ``log_every_n_steps``-th step; validation, speeds and clips always
      go.
    - Rows are numbered by the optimizer steps that are done (see `attach`).

    Rank 0 makes the run, at the first access to `experiment`; other ranks do nothing. Call `finish` at the
    very end. Arguments as `build_wandb_logger`.
    """

    def __init__(
        self,
        config: WandbConfig,
        *,
        mode: Literal["auto", "online", "offline"],
        run_dir: str | os.PathLike[str],
        run_id: str,
        run_config: Mapping[str, Any],
        index_fingerprint: str,
        name: str | None,
    ) -> None:
        super().__init__(project=config.project, save_dir=Path(run_dir), id=run_id, name=name or run_id)
        self.config = config
        self.mode: Literal["auto", "online", "offline"] = mode
        self.run_dir = Path(run_dir)
        self._experiment: Any = None
        self.run_id = run_id
        self.run_name = name or run_id
        self.index_fingerprint = index_fingerprint
        self.run_config = redact({**run_config, "index_fingerprint": index_fingerprint})
        self.failures = 0
        """How often W&B did not take what it was given."""
        self._trainer: L.Trainer | None = None
        self._index_used = False

    def attach(self, trainer: L.Trainer) -> None:
        """Number the rows by the trainer's steps; Lightning's own number of a training row is one less."""
        self._trainer = trainer

    @property
    @override
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, begun at the first access; an object that does nothing where none could be begun."""
        if self._experiment is None:
            self._experiment = begin_run(
                self.config, mode=self.mode, run_dir=self.run_dir, run_id=self.run_id, name=self.run_name,
                run_config=self.run_config,
            )  # fmt: skip
        return self._experiment

    @property
    @override
    def version(self) -> str:
        return self.run_id

    @override
    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        values = redact(vars(params) if isinstance(params, Namespace) else params)
        self._attempt(lambda: self.experiment.config.update(values, allow_val_change=True))

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, or W&B's media objects, as one row."""
        if self._trainer is not None:
            step = self._trainer.global_step
        values = dict(metrics)
        if step is not None and step % self.config.log_every_n_steps:
            values = {key: value for key, value in values.items() if not key.startswith(_THINNED)}
        if values.keys() <= {"epoch"}:
            return
        if step is not None:
            values[STEP] = step
        self._attempt(lambda: self.experiment.log(values))

    @rank_zero_only
    def log_media(self, build: Callable[[Any], Mapping[str, Any]], step: int) -> None:
        """Log W&B's own objects: ``build`` gets the module wandb, and is called only where there is a run."""
        if not isinstance(self.experiment, DummyExperiment):
            import wandb

            self._attempt(lambda: self.log_metrics(build(wandb), step))

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
            self._attempt(lambda: self._send_model(Path(path), list(aliases), dict(metadata or {})))

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
            if exit_code == _PREEMPTED:
                run.mark_preempting()
            run.finish(exit_code=exit_code)
        except Exception as error:  # noqa: BLE001 - wandb raises whatever it likes
            _log.warning(f"W&B did not get everything ({one_line(error)}); {how_to_send(run)}")
            end_session()
        if self.failures:
            _log.warning(f"W&B failed {self.failures} times to take what it was given; metrics.jsonl has all")

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Nothing yet: the trainer calls this after each fit or validation. See `finish`."""

    def _send_model(self, path: Path, aliases: list[str], metadata: dict[str, Any]) -> None:
        import wandb

        run = self.experiment
        index = {"index_fingerprint": self.index_fingerprint}
        if not self._index_used:
            artifact = wandb.Artifact(f"index-{self.index_fingerprint[:12]}", "dataset", metadata=index)
            # The fingerprint itself is the reference: equal data is the same version wherever it lies.
            artifact.add_reference(f"wavenet-index:{self.index_fingerprint}", name="index", checksum=False)
            # What use_artifact does, which refuses to offline, and online waits for the server.
            run._log_artifact(artifact, use_after_commit=True)
            self._index_used = True
        artifact = wandb.Artifact(f"model-{self.run_id}", "model", metadata=redact({**metadata, **index}))
        artifact.add_file(str(path), name=path.name, skip_cache=True)
        run.log_artifact(artifact, aliases=aliases)

    def _attempt(self, call: Callable[[], object]) -> None:
        """Tracking must not end a training of days: the first failure is told, all are counted."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - wandb raises whatever it likes
            self.failures += 1
            if self.failures == 1:
                _log.warning(f"W&B failed ({one_line(error)}); training and metrics.jsonl go on")
