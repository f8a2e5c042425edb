"""The floors of the code: a file imports from its own floor or lower ones, never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The one table of floors. A pattern ending in * is a rule for new files; an exact name goes before any rule.
FLOORS = {
    "durable": 0,
    "errors": 0,
    "foreign": 0,
    "redaction": 0,
    "config": 0,
    "config_*": 0,
    "trainer_options": 0,
    "codec": 1,
    "counter": 1,
    "dsp": 1,
    "features": 1,
    "intervals": 1,
    "labels": 1,
    "levels": 1,
    "logistics": 1,
    "mel": 1,
    "midi": 1,
    "run": 1,
    "signals": 1,
    "commands": 1,
    "versions": 1,
    "wav": 1,
    "data.containers": 1,
    "data.damage": 1,
    "data.format": 1,
    "data.index": 1,
    "data.members": 1,
    "data.order": 1,
    "data.storage": 1,
    "network": 2,
    "heads": 2,
    "conditioning": 2,
    "plots": 2,
    "data.scan": 2,
    "data.workers": 3,
    "data.survey": 3,
    "data.split": 2,
    "data.conditions": 3,
    "data.pipeline": 3,
    "data.baselines": 3,
    "generation": 3,
    "generation.*": 3,
    "data.datamodule": 4,
    "scores": 4,
    "data": 4,  # the package itself only hands on what lives inside, late
    "modules": 5,
    "models": 5,
    "checkpoint": 5,
    "delta": 5,
    "weights": 5,
    "tracking": 5,
    "tracking.*": 5,
    "callbacks": 6,
    "callbacks.*": 6,
    "briefing": 6,
    "evaluation": 6,
    "evaluation.*": 6,
    "evaluation.screen": 2,  # clips of any command and callback go through it
    "model_card": 6,
    "train": 7,
    "generate": 7,
    "clip_list": 7,
    "adapt": 7,
    "adaptation": 7,
    "adaptation.*": 7,
    "evaluate": 7,
    "analyze": 7,
    "export": 7,
    "indexing": 7,
    "slurm": 7,
    "cluster": 7,
    "cluster.*": 7,
    "doctor": 7,
    "": 7,  # wavenet_pl itself: load and friends, late
    "cli": 8,
    "__main__": 8,
}
DATA_PREP_IMPORTS_UP_TO = 1
ENTRY = "data_prep.__main__"  # `python -m data_prep` is the command line by another name

# Reading a config, an index or --help must not wait for torch.
TORCH_FREE = (
    "errors",
    "redaction",
    "config",
    "config_*",
    "trainer_options",
    "counter",
    "features",
    "mel",
    "midi",
    "run",
    "commands",
    "cluster",
    "cluster.*",
    "slurm",
    "tracking.rows",
    "data.*",
    "generation.choice",
    "clip_list",
    "generate",
    "cli",
    "",
)
TORCH_FREE_EXCEPT = ("data.pipeline", "data.workers", "data.datamodule", "data.baselines")
HEAVY = ("torch", "torchaudio", "lightning", "wandb", "matplotlib", "webdataset", "numba")


@dataclass(frozen=True)
class Import:
    """One imported module of ours, and where the line stands."""

    module: str  # dotted, wavenet_pl or data_prep first
    line: int
    late: bool  # inside a function, or only for type checkers


def module_of(path: Path) -> str:
    """wavenet_pl/data/index.py -> wavenet_pl.data.index; a package is named after its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_of(path): path
    for package in ("wavenet_pl", "data_prep")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def floor_of(module: str) -> int | None:
    """The floor of a module of wavenet_pl, None where the table says nothing about it."""
    name = module.removeprefix("wavenet_pl").removeprefix(".")
    if name in FLOORS:
        return FLOORS[name]
    rules = [pattern for pattern in FLOORS if pattern.endswith("*") and fnmatchcase(name, pattern)]
    return FLOORS[max(rules, key=len)] if rules else None


def imports_of(source: str) -> Iterator[Import]:
    """Every import of our packages in a source text, function-level ones and type-only ones included."""
    tree = ast.parse(source)
    late = {
        id(node)
        for scope in ast.walk(tree)
        if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        or (isinstance(scope, ast.If) and "TYPE_CHECKING" in ast.unparse(scope.test))
        for node in ast.walk(scope)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = [f"{node.module}.{alias.name}" for alias in node.names if alias.name != "__version__"]
            found = [name if name in MODULES else node.module for name in whole]
        else:
            continue
        for name in found:
            if name.split(".")[0] in ("wavenet_pl", "data_prep"):
                yield Import(name, node.lineno, id(node) in late)


def test_every_file_has_a_floor() -> None:
    homeless = [m for m in MODULES if m.startswith("wavenet_pl") and floor_of(m) is None]
    assert not homeless, f"no floor for {homeless}: add each to FLOORS at the top of tests/test_floors.py"


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.startswith("wavenet_pl") and floor_of(m) is not None]
)
def test_imports_go_down(module: str) -> None:
    own = floor_of(module)
    assert own is not None
    climbs = []
    for found in imports_of(MODULES[module].read_text()):
        # `prepare` is a command like the others
        other = 7 if found.module.startswith("data_prep") else floor_of(found.module)
        if other is not None and other > own:
            climbs.append(f"line {found.line}: {found.module} (floor {other})")
    assert not climbs, f"{module} (floor {own}) imports from above: {climbs}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("data_prep") and m != ENTRY])
def test_data_prep_imports_the_lowest_floors_only(module: str) -> None:
    climbs = [
        f"line {found.line}: {found.module} (floor {floor_of(found.module)})"
        for found in imports_of(MODULES[module].read_text())
        if found.module.startswith("wavenet_pl")
        and not (floor_of(found.module) or 0) <= DATA_PREP_IMPORTS_UP_TO
    ]
    assert not climbs, f"{module} may import floors 0 to {DATA_PREP_IMPORTS_UP_TO}: {climbs}"


def test_nothing_imports_in_a_circle() -> None:
    graph = {
        module: {found.module for found in imports_of(path.read_text())} - {module}
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circular imports: {' -> '.join(reversed(error.args[1]))}")


@pytest.mark.parametrize("module", [m for m, path in MODULES.items() if path.name == "__init__.py"])
def test_packages_import_their_contents_late(module: str) -> None:
    early = [found for found in imports_of(MODULES[module].read_text()) if not found.late]
    assert not early, f"{module} loads at import: {early}; use a module-level __getattr__"


def test_config_index_and_help_do_not_wait_for_torch() -> None:
    light = []
    for module in MODULES:
        name = module.removeprefix("wavenet_pl").removeprefix(".")
        if module.startswith("wavenet_pl") and name not in TORCH_FREE_EXCEPT:
            light += [module] if any(fnmatchcase(name, pattern) for pattern in TORCH_FREE) else []
    program = (
        "import importlib, sys\n"
        f"for module in {light!r}:\n"
        "    importlib.import_module(module)\n"
        f"    heavy = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "    assert not heavy, f'{module} imports {heavy}: move the import into the function that needs it'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
