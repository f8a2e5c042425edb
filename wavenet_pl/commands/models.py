"""The command `models`: which trained models come with the project, and how good they are."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from wavenet_pl.errors import ExitCode
from wavenet_pl.runs.released import PREFIX, list_released


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl models`."""
    parser.add_argument("--json", action="store_true", help="print all that is known of them, for programs")


def main(args: argparse.Namespace) -> int:
    """Print them; returns the exit code."""
    models = list(list_released())
    if args.json:
        print(json.dumps([{**asdict(each), "path": str(each.path)} for each in models], indent=1))
        return ExitCode.DONE
    if not models:
        print("no trained model comes with this version")
    for each in models:
        size = sum(path.stat().st_size for path in each.path.glob("*.safetensors")) / 2**20
        print(f"{PREFIX}{each.name}  {each.what} ({size:.1f} MiB)")
        facts = {
            "data": each.data,
            "licence": each.licence,
            **each.scores,
            "card": str(each.path / "README.md"),
        }
        for name, text in facts.items():
            print(f"  {name:<32}{text}")
    return ExitCode.DONE
