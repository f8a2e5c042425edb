"""Checkpoints as model artifacts in Weights & Biases, which descend from the index of their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wavenet_pl.files.redaction import redact


def send_index(run: Any, fingerprint: str) -> None:
    """Say that the run used the index, with an artifact that is a mere reference: no audio leaves the machine."""
    import wandb

    artifact = wandb.Artifact(
        f"index-{fingerprint[:12]}", "dataset", metadata={"index_fingerprint": fingerprint}
    )
    # The fingerprint itself is the reference: equal data is the same version wherever it lies.
    artifact.add_reference(f"wavenet-index:{fingerprint}", name="index", checksum=False)
    _use(run, artifact)


def use_model(run: Any, fingerprint: str) -> None:
    """Say that the run began with a model, in the same way."""
    import wandb

    artifact = wandb.Artifact(f"base-{fingerprint[:12]}", "model", metadata={"model_hash": fingerprint})
    artifact.add_reference(f"wavenet-model:{fingerprint}", name="model", checksum=False)
    _use(run, artifact)


def _use(run: Any, artifact: Any) -> None:
    # What use_artifact does, which refuses to offline, and online waits for the server.
    run._log_artifact(artifact, use_after_commit=True)


def send_model(
    run: Any, path: Path, aliases: Sequence[str], metadata: Mapping[str, Any], fingerprint: str
) -> None:
    """Keep a file as a version of the artifact ``model-<run id>``, with the index's fingerprint in its metadata."""
    import wandb

    facts = redact({**metadata, "index_fingerprint": fingerprint})
    artifact = wandb.Artifact(f"model-{run.id}", "model", metadata=facts)
    artifact.add_file(str(path), name=path.name, skip_cache=True)
    run.log_artifact(artifact, aliases=list(aliases))
