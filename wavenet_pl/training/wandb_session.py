"""Beginning a Weights & Biases run: credentials, settings that keep secrets in, offline as the way out."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers.logger import DummyExperiment

from wavenet_pl.config.training import WandbConfig
from wavenet_pl.errors import ExitCode
from wavenet_pl.files.redaction import redact
from wavenet_pl.training.wandb_description import Description

_log = logging.getLogger(__name__)

STEP = "trainer/global_step"
"""The x-axis of everything: optimizer steps done. W&B's own ``_step`` counts calls."""
_TEARDOWN_SECONDS = 20.0
_GRACE_SECONDS = 5.0
"""For wandb's own timeout to come first, which stops its uploads more gently."""


def begin_run(
    config: WandbConfig,
    description: Description,
    *,
    mode: Literal["auto", "online", "offline"],
    run_dir: Path,
) -> Any:
    """A W&B run: online, or offline where no key is set or no server answers, or an object that does nothing.

    Each outcome is said in one line, with the command that sends an offline run later. Never raises, and
    takes little more than ``init_timeout``.

    Args:
        config: project and so on.
        description: what is shown.
        mode: as `WandbConfig.mode`, less disabled.
        run_dir: everything is written to its subfolder wandb.
    """
    try:
        wandb = _import_wandb(run_dir)
        if mode != "offline" and _may_go_online(mode):
            try:
                run = _init(wandb, "online", config, run_dir, description)
                _log.info(f"W&B: {run.url}")
                return run
            except Exception as error:  # noqa: BLE001 - wandb raises whatever it likes
                reason = one_line(error)
                end_session()  # else the next init finds the run id in use
            run = _init(wandb, "offline", config, run_dir, description)
            _log.warning(f"W&B cannot be reached ({reason}): this run is tracked offline; {how_to_send(run)}")
            return run
        run = _init(wandb, "offline", config, run_dir, description)
        _log.info(f"W&B is offline; {how_to_send(run)}")
        return run
    except Exception as error:  # noqa: BLE001 - wandb raises whatever it likes
        return no_run(error)


def no_run(error: Exception) -> Any:
    """Says why there is no run; an object that does nothing instead."""
    _log.warning(f"W&B does not work here ({one_line(error)}); metrics.jsonl has all numbers")
    end_session()
    return DummyExperiment()


def key_is_set() -> bool:
    """Whether W&B has credentials: in the environment, netrc or its own settings. Asks no server."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        from wandb.sdk import wandb_setup
        from wandb.sdk.lib import wbauth

        settings = wandb_setup.singleton().settings
        return bool(settings.api_key or wbauth.read_netrc_auth(host=settings.base_url))
    except Exception as error:  # noqa: BLE001 - wandb raises whatever it likes
        _log.warning(f"W&B credentials cannot be read ({one_line(error)}); type `wandb login`")
        return False


def end_session() -> None:
    """Give up wandb's background process; one that died would be missed at exit, with a traceback."""
    with contextlib.suppress(Exception), no_longer_than(_TEARDOWN_SECONDS):
        import wandb

        wandb.teardown()


@contextlib.contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Kill wandb's background process if the block takes longer: it may take for ever, whatever its timeouts are.

    Raises:
        TimeoutError: so it was.
    """
    late = threading.Event()

    def kill() -> None:
        late.set()
        if process := background_process():
            process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if late.is_set():
            raise TimeoutError(f"no answer within {seconds:.0f} s") from error
        raise
    finally:
        timer.cancel()


def background_process() -> subprocess.Popen[bytes] | None:
    """What wandb started for this process; it has no name for that."""
    from wandb.sdk import wandb_setup

    owner: Any = wandb_setup.singleton()
    for name in ("_connection", "_proc", "_process"):
        owner = getattr(owner, name, None)
    return owner if isinstance(owner, subprocess.Popen) else None


def end_run(run: Any, exit_code: int, seconds: float) -> None:
    """Close a run; one that wants to be started again shows as preempted.

    Raises:
        TimeoutError: it took longer than so many seconds and some more.
    """
    with no_longer_than(seconds + _GRACE_SECONDS):
        if exit_code == ExitCode.SAVED:
            run.mark_preempting()
        run.finish(exit_code=exit_code)


def folder_of(run: Any) -> Path:
    """The run's own folder in RUN/wandb."""
    return Path(run.dir).parent


def how_to_send(run: Any) -> str:
    """What to type when there is a network."""
    return f"send it later with `wandb sync {folder_of(run)}`"


def one_line(error: BaseException) -> str:
    """An error's message as part of a line, without secrets: some contain addresses and headers."""
    text = " ".join(str(error).split()) or type(error).__name__
    return str(redact(text if len(text) <= 200 else text[:199] + "…"))


def _may_go_online(mode: str) -> bool:
    has_key = key_is_set()  # without one, wandb would ask for it and wait
    if not has_key and mode == "online":
        _log.warning("wandb.mode is online, but no key is set; type `wandb login` before the next run")
    return has_key


def _import_wandb(run_dir: Path) -> Any:
    # Crash reports to wandb's makers could carry parts of a config.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    # Staged files belong to the run folder, so that it can be copied to where there is a network and be sent
    # from there; a compute node's home may not even be writable.
    folder = run_dir.absolute() / "wandb"
    os.environ.setdefault("WANDB_DATA_DIR", str(folder / "data"))
    os.environ.setdefault("WANDB_CACHE_DIR", str(folder / "cache"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:  # else wandb would write elsewhere
        file.write(bytes(4096))
    import wandb

    wandb.setup(wandb.Settings(silent=True))  # one line of ours says what there is to say
    return wandb


def _init(wandb: Any, mode: str, config: WandbConfig, run_dir: Path, description: Description) -> Any:
    settings = wandb.Settings(
        init_timeout=config.init_timeout,
        finish_timeout=config.finish_timeout,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=2.0,  # seconds of rows that kill -9 may cost
        reinit="finish_previous",  # an earlier training in the same notebook
        allow_val_change=True,  # a resumed run may have another config
        silent=True,
        # What could carry a key, a password or a machine's name out of here.
        console="wrap" if config.console else "off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        host="",
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=not config.system_metrics,
        x_stats_disk_paths=(),  # their names are paths
        x_save_requirements=False,
    )
    run = wandb.init(
        mode=mode,
        dir=run_dir,
        id=description.run_id,
        resume="allow",
        name=description.name,
        job_type=description.job_type,
        project=config.project,
        entity=config.entity,
        group=config.group,
        tags=list(dict.fromkeys([*config.tags, *description.tags])),
        config=dict(description.config),
        settings=settings,
    )
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return run
