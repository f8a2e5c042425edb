"""Names that libraries do not promise: each that the code uses is still there, and each that is listed is still used.

An upgrade that takes one away is found here, by name, and not as a training that hangs or a number that is missing.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from wavenet_pl.audio import torchaudio_door

ROOT = Path(__file__).resolve().parents[1]
# File of ours -> dotted names that it uses, the library first. NAME(x) is the parameter x of what NAME is.
USED = {
    "wavenet_pl/training/callbacks/checkpoints.py": (
        "lightning.pytorch.loops.fit_loop._FitLoop._data_fetcher",
        "lightning.pytorch.loops.fit_loop._FitLoop.epoch_loop",
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop._should_check_val_fx",
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop.val_loop",
        "lightning.pytorch.loops.evaluation_loop._EvaluationLoop.restarting",
        "lightning.pytorch.loops.evaluation_loop._EvaluationLoop.run",
        "lightning.pytorch.Trainer.fit_loop",
        "lightning.pytorch.Trainer.ckpt_path",
        "lightning.pytorch.strategies.Strategy.checkpoint_io",
    ),
    "wavenet_pl/training/callbacks/resumption.py": (
        "lightning.pytorch.loops.fit_loop._FitLoop.epoch_progress",
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop.batch_progress",
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop.automatic_optimization",
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop._batches_that_stepped",
        "lightning.pytorch.loops.optimization.automatic._AutomaticOptimization.optim_progress",
        "lightning.pytorch.loops.progress._BatchProgress.is_last_batch",
    ),
    "wavenet_pl/training/callbacks/steps.py": (
        "lightning.pytorch.loops.training_epoch_loop._TrainingEpochLoop.batch_progress",
        "lightning.pytorch.loops.progress._BatchProgress.is_last_batch",
    ),
    "wavenet_pl/training/fit.py": ("lightning.pytorch.strategies.DDPStrategy.cluster_environment",),
    "wavenet_pl/training/callbacks/ema.py": (
        "lightning.pytorch.callbacks.WeightAveraging._swap_models",
        "lightning.pytorch.callbacks.WeightAveraging._latest_update_step",
    ),
    "wavenet_pl/training/callbacks/watchdog.py": (
        "lightning.pytorch.strategies.Strategy.launcher",
        "lightning.pytorch.strategies.launchers.subprocess_script._SubprocessScriptLauncher.procs",
        "torch.utils.data.dataloader._BaseDataLoaderIter._next_data",
        "sys._current_frames",
    ),
    "wavenet_pl/training/callbacks/ranks.py": (
        "lightning.pytorch.utilities.rank_zero.rank_zero_only.rank",
        "lightning.pytorch.strategies.DDPStrategy.cluster_environment",
        "lightning.fabric.strategies.launchers.subprocess_script._ChildProcessObserver._child_processes",
        "torch.distributed.distributed_c10d._get_default_store",
        "torch.distributed.Store.clone",
    ),
    "wavenet_pl/training/callbacks/samples.py": (
        "lightning.pytorch.trainer.connectors.data_connector._DataConnector.datamodule",
        "lightning.pytorch.trainer.connectors.callback_connector._CallbackConnector.callbacks",
    ),
    "wavenet_pl/training/module.py": (
        "lightning.pytorch.plugins.precision.MixedPrecision.scaler",
        "torch._foreach_mul_",
    ),
    "wavenet_pl/training/optimizer.py": (
        "torch.optim.AdamW._step_supports_amp_scaling",
        "torch._foreach_lerp_",
        "torch._foreach_lerp",
        "torch._foreach_mul_",
        "torch._foreach_add_",
    ),
    "wavenet_pl/training/trainer_options.py": (
        "lightning.pytorch.plugins.environments.SLURMEnvironment(auto_requeue)",
    ),
    "wavenet_pl/training/wandb_logger.py": (
        "lightning.pytorch.loggers.logger.rank_zero_experiment",
        "lightning.pytorch.loggers.WandbLogger._experiment",
        "wandb.sdk.wandb_run.Run.starting_step",
    ),
    "wavenet_pl/training/wandb_session.py": (
        "lightning.pytorch.loggers.logger.DummyExperiment",
        "wandb.sdk.wandb_setup.singleton",
        "wandb.sdk.wandb_setup._WandbSetup._connection",
        "wandb.sdk.lib.service.service_connection.ServiceConnection._proc",
        "wandb.sdk.lib.service.service_process.ServiceProcess._process",
        "wandb.sdk.lib.wbauth.read_netrc_auth",
        "wandb.Settings.finish_timeout",
        "wandb.Settings.finish_timeout_raises",
        "wandb.Settings.x_transaction_log_flush_interval",
        "wandb.Settings.x_disable_meta",
        "wandb.Settings.x_disable_stats",
        "wandb.Settings.x_stats_disk_paths",
        "wandb.Settings.x_save_requirements",
    ),
    "wavenet_pl/adaptation/stop.py": (
        "lightning.pytorch.callbacks.EarlyStopping.stopping_reason",
        "lightning.pytorch.callbacks.EarlyStopping.stopping_reason_message",
        "lightning.pytorch.callbacks.early_stopping.EarlyStoppingReason.STOPPING_THRESHOLD",
    ),
    "wavenet_pl/layers/plain.py": (
        "torch.nn.Module._forward_pre_hooks",
        "torch.nn.Module._forward_hooks",
    ),
    "wavenet_pl/audio/resampling.py": (
        "torchaudio.transforms.Resample.kernel",
        "torchaudio.transforms.Resample.width",
    ),
    "wavenet_pl/training/wandb_model.py": (
        "wandb.sdk.wandb_run.Run._log_artifact",
        "wandb.sdk.wandb_run.Run._log_artifact(use_after_commit)",
        "wandb.Artifact.add_file(skip_cache)",
    ),
    "wavenet_pl/tracking/wandb_log.py": ("wandb.proto.wandb_internal_pb2.Record.FromString",),
    "wavenet_pl/shards/storage.py": (
        "fsspec.spec.AbstractFileSystem._strip_protocol",
        "fsspec.spec.AbstractFileSystem.async_impl",
        "fsspec.asyn.sync(timeout)",
        "fsspec.core.url_to_fs",
    ),
    "wavenet_pl/config/loading.py": ("omegaconf.errors.OmegaConfBaseException",),
    "wavenet_pl/config/source.py": (
        "yaml.SafeLoader.yaml_implicit_resolvers",
        "yaml.SafeLoader.get_single_node",
        "yaml.FlowSequenceStartToken",
    ),
    "wavenet_pl/numbers/compiled.py": ("numba.config.CACHE_DIR",),
    "wavenet_pl/generation/fused_cpu/vectors.py": (
        "numba.core.cgutils.get_or_insert_function",
        "numba.core.cgutils.alloca_once",
        "numba.core.cgutils.alloca_once_value",
        "numba.core.cgutils.for_range",
        "numba.core.cgutils.for_range_slice",
        "numba.core.cgutils.unpack_tuple",
        "numba.core.base.BaseContext.make_array",
        "numba.core.base.BaseContext.get_dummy_value",
        "llvmlite.ir.IRBuilder.fma",
        "llvmlite.ir.types._TypedPointerType.pointee",
    ),
    "wavenet_pl/commands/slurm.py": ("argparse.ArgumentParser._actions",),
    "wavenet_pl/commands/grammar.py": ("argparse.ArgumentParser._actions",),
    "wavenet_pl/data/workers.py": ("multiprocessing.resource_tracker.ensure_running",),
}
ROWS = [(name.split(".")[0], name, file) for file, names in USED.items() for name in names]
PROMISED = {"_exit", "_asdict", "_fields", "_replace", "_value_"}
"""Documented in spite of their look: of `os`, of named tuples, of enums."""


def last(name: str) -> str:
    """What our file has to mention: the parameter, or the last part."""
    return re.split(r"[.(]", name.rstrip(")"))[-1]


def has(owner: Any, name: str) -> bool:
    """Whether a module, class or object has a name; of a class also what its instances get when they are made."""
    if hasattr(owner, name) or name in getattr(owner, "model_fields", ()):
        return True
    made = rf"self(\.\w+)*\.{name}\b\s*(:[^=\n]+)?=[^=]|register_buffer\([\"']{name}[\"']|self, \"{name}\""
    return inspect.isclass(owner) and any(
        name in vars(each).get("__annotations__", {}) or re.search(made, inspect.getsource(each))
        for each in owner.__mro__
        if each.__module__ != "builtins"
    )


def owner_of(dotted: str) -> tuple[Any, str]:
    """What has the last part of a name, and that part; modules are imported."""
    parts, last_part = dotted.split(".")[:-1], dotted.split(".")[-1]
    for number in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:number]))
        except ImportError:
            continue
        for part in parts[number:]:
            found = getattr(found, part)
        return found, last_part
    raise ImportError(dotted)


@pytest.mark.parametrize(
    ("library", "name", "file"), ROWS, ids=[f"{Path(f).stem}-{last(n)}" for _, n, f in ROWS]
)
def test_a_name_that_nobody_promised_is_there_and_is_used(library: str, name: str, file: str) -> None:
    if library == "torchaudio":
        torchaudio_door.torchaudio()  # beside a CPU build of torch it imports through its door only
    dotted, _, parameter = name.partition("(")
    owner, part = owner_of(dotted)
    assert has(owner, part), f"{library} has no {dotted} any more: {file} needs another way"
    if parameter:
        assert last(name) in inspect.signature(getattr(owner, part)).parameters, (
            f"{dotted} of {library} takes no {parameter.rstrip(')')} any more: {file} needs another way"
        )
    assert re.search(rf"\b{re.escape(last(name))}\b", (ROOT / file).read_text()), (
        f"{file} does not mention {last(name)} any more: remove the row, or move it"
    )


def test_a_name_that_is_not_there_would_be_found() -> None:
    owner, _ = owner_of("lightning.pytorch.loops.fit_loop._FitLoop._no_such_thing")
    assert not has(owner, "_no_such_thing")
    assert not has(owner_of("argparse.ArgumentParser._actions")[0], "_action")


def test_what_replaces_half_of_torchaudio_has_all_that_is_asked_of_it() -> None:
    """Read as text: the compiled half cannot be imported where it has to be replaced."""
    spec = find_spec("torchaudio")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    asked = set()
    for package in ("functional", "transforms", "compliance", "datasets", "pipelines"):
        for path in (folder / package).rglob("*.py"):
            for names in re.findall(r"from torchaudio\._extension import ([\w, ]+)", path.read_text()):
                asked |= {name.strip() for name in names.split(",")}
    stub = torchaudio_door._stub()
    assert asked, "torchaudio asks nothing of _extension any more: the stub may go"
    assert not [name for name in asked if not hasattr(stub, name)]


def test_every_private_name_of_a_library_is_listed() -> None:
    """A name with an underscore in front that no file of ours defines is somebody else's."""
    trees = {
        path: ast.parse(path.read_text())
        for package in ("wavenet_pl", "data_prep")
        for path in (ROOT / package).rglob("*.py")
    }
    ours = {name for tree in trees.values() for name in defined(tree)}
    listed = {last(name) for _, name, _ in ROWS} | PROMISED
    missing = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match(r"_[a-zA-Z]", node.attr)
        if node.attr not in ours | listed
    ]
    assert not missing, f"give each a row in USED: {missing}"


def defined(tree: ast.Module) -> set[str]:
    """Names that a file defines: functions, classes, variables, attributes that are set."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names
