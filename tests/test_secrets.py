"""Keys, tokens and passwords that a run could meet are in no file that it writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.processes import the_run, train
from tests.shards.http_server import serving
from tests.shards.made import write_shard_set
from wavenet_pl import cli
from wavenet_pl.config.tree import load_config

ENVIRONMENT = {
    "WANDB_API_KEY": "planted5wandb9key" * 2 + "abcdef",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret/7Qm2xXw0",
    "AWS_SESSION_TOKEN": "planted-aws-session-4821",
    "HF_TOKEN": "hf_plantedHuggingFaceToken0123456789",
    "MY_DATABASE_PASSWORD": "planted-database-password",
}
URL_PASSWORD = "planted-url-password-66"
IN_THE_DIFF = {
    "assigned": ("API_KEY = '{}'", "planted-key-in-the-code"),
    "in a config": ('"auth_token": "{}"', "planted-token-in-a-config"),
    "of a known form": ("print('{}')", "ghp_PlantedGitHubTokenPlantedGitHubToken"),
    "in a URL": ("git clone https://me:{}@example.org/x", "planted-password-of-a-clone"),
    "also in the environment": ("# {}", ENVIRONMENT["MY_DATABASE_PASSWORD"]),
}


def commit_and_change(folder: Path) -> None:
    """A repository whose tracked file was changed since: now it has keys in it."""
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org"]
    file = folder / "settings.py"
    file.write_text("num_tokens = 512\n")
    for arguments in (["init", "-q"], ["add", "settings.py"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True, capture_output=True)
    file.write_text(
        "num_tokens = 1024\n" + "".join(line.format(key) + "\n" for line, key in IN_THE_DIFF.values())
    )


@pytest.mark.slow
def test_no_planted_key_is_in_any_file_of_a_run_or_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    shards = write_shard_set(tmp_path / "served" / "set", train=6, val=2)
    (shards / "train" / "shard-000001.tar").unlink()  # messages about it name the place
    here = tmp_path / "here"
    here.mkdir()
    commit_and_change(here)
    with serving(tmp_path / "served") as server:
        url = server.url.replace("://", f"://me:{URL_PASSWORD}@") + "/set"
        settings = ("wandb.mode=offline", "samples.every_n_steps=3", "samples.count=1", "samples.seconds=0.1")
        limits = ("samples.prompt_seconds=0.02", "trainer.max_steps=6", "data.max_bad_fraction=1")
        text = train(Path("unused"), here, f"data.path={url}", *settings, *limits)
    run = the_run(here)
    assert cli.main(["export", str(run.path), "--out", str(tmp_path / "out")]) == 0

    secrets = [*ENVIRONMENT.values(), URL_PASSWORD, *(key for _, key in IN_THE_DIFF.values())]
    files = [path for folder in (run.path, tmp_path / "out") for path in folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".ckpt", ".wandb", ".yaml", ".diff", ".jsonl", ".safetensors", ".md", ".wav"} <= kinds, (
        "all is looked at"
    )
    contents = {path: path.read_bytes() for path in files}
    found = [
        (path, secret)
        for path, content in contents.items()
        for secret in secrets
        if secret.encode() in content
    ]
    assert not found
    assert not [secret for secret in secrets if secret in text]
    assert "shard-000001.tar" in text and (run.path / "bad_recordings.jsonl") in files

    assert "num_tokens = 1024" in (run.path / "git.diff").read_text(), "what only sounds like a key stays"
    for path in (run.config, tmp_path / "out" / "config.yaml"):
        assert load_config([path]).data.crop_samples == 1000, "still a config"
