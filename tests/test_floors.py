"""The floors of the house: each folder is one and imports only from those below it; in a folder there is no circle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the roof down. A name is a folder, or a file at the top of wavenet_pl; those of one line do not know each other,
# unless by the order in which they stand.
FLOORS = (
    ("__main__", "cli", "wavenet_pl"),
    ("commands",),
    ("cluster",),
    ("adaptation",),
    ("training",),
    ("analysis",),
    ("evaluation",),
    ("runs",),
    ("model",),
    ("generation",),
    ("data_prep",),
    ("data",),
    ("network", "layers", "conditioning", "heads", "logistics", "codec"),
    ("inputs",),
    ("tracking",),
    ("shards",),
    ("audio", "config"),
    ("files", "numbers", "progress", "signals", "errors"),
)
MOST_FILES_AT_THE_TOP = 12
MOST_ROOMS, MOST_FLOORS = 35, 18

# Reading a config, an index or --help must not wait for torch.
TORCH_FREE = (
    "analysis.options", "audio", "cli", "cluster", "commands", "config", "data.conditions", "data.order", "errors",
    "evaluation.options", "files", "generation.choice", "inputs", "numbers", "progress", "runs.checkpoints",
    "runs.folder", "runs.starts", "runs.versions", "shards", "signals", "tracking", "wavenet_pl",
)  # fmt: skip
HEAVY = ("torch", "torchaudio", "lightning", "wandb", "matplotlib", "webdataset", "numba")


@dataclass(frozen=True)
class Import:
    """One imported module of ours, and where the line stands."""

    module: str  # dotted, wavenet_pl or data_prep first
    line: int
    late: bool  # inside a function, or only for type checkers


def module_of(path: Path) -> str:
    """wavenet_pl/shards/index.py -> wavenet_pl.shards.index; a package is named after its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_of(path): path
    for package in ("wavenet_pl", "data_prep")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def room_of(module: str) -> str:
    """wavenet_pl.shards.index -> shards, wavenet_pl.network -> network, data_prep.rules -> data_prep."""
    parts = module.split(".")
    return parts[0] if parts[0] == "data_prep" or len(parts) == 1 else parts[1]


PLACES = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ORDER = [room for rooms in FLOORS for room in rooms]


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
    homeless = sorted({room_of(module) for module in MODULES} - PLACES.keys())
    assert not homeless, (
        f"no floor for {homeless}: give each its place in FLOORS, at the top of tests/test_floors.py"
    )
    assert sorted({room_of(module) for module in MODULES}) == sorted(PLACES), "every floor is there"


def test_the_house_stays_small_enough_to_be_seen_at_once() -> None:
    top = [path.name for path in (ROOT / "wavenet_pl").glob("*.py")]
    assert len(top) <= MOST_FILES_AT_THE_TOP, sorted(top)
    folders = {path.parent for path in MODULES.values()} - {ROOT / "wavenet_pl"}
    assert len(top) + len(folders) <= MOST_ROOMS
    assert len(FLOORS) <= MOST_FLOORS


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) in PLACES])
def test_imports_go_down(module: str) -> None:
    own = room_of(module)
    climbs = []
    for found in imports_of(MODULES[module].read_text()):
        other = room_of(found.module)
        if other != own and other in PLACES and ORDER.index(other) <= ORDER.index(own):
            climbs.append(f"line {found.line}: {found.module}")
    assert not climbs, f"{module} imports from above: {climbs}"


def test_nobody_imports_a_command() -> None:
    found = [
        f"{module}, line {each.line}: {each.module}"
        for module, path in MODULES.items()
        for each in imports_of(path.read_text())
        if each.module.startswith("wavenet_pl.commands.") and each.module != "wavenet_pl.commands.grammar"
    ]
    assert not found, f"what two commands need lives below them: {found}"


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


def run(program: str) -> None:
    """In a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.cold("what is imported")
def test_config_index_and_help_do_not_wait_for_torch() -> None:
    light = [
        module
        for module in MODULES
        for name in [module.removeprefix("wavenet_pl.")]
        if any(name == free or name.startswith(f"{free}.") for free in TORCH_FREE)
    ]
    run(
        "import importlib, sys\n"
        f"for module in {light!r}:\n"
        "    importlib.import_module(module)\n"
        f"    heavy = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "    assert not heavy, f'{module} imports {heavy}: move the import into the function that needs it'\n"
    )


@pytest.mark.cold("what is imported")
def test_the_model_and_what_lies_below_it_never_load_lightning() -> None:
    below = [
        module
        for module in MODULES
        if ORDER.index(room_of(module)) >= ORDER.index("analysis") and module != "wavenet_pl.data.datamodule"
    ]
    run(
        "import importlib, sys\n"
        f"for module in {below!r}:\n"
        "    importlib.import_module(module)\n"
        "    assert 'lightning' not in sys.modules, f'{module} imports Lightning'\n"
    )


def test_readme_shows_the_tree_that_is_there() -> None:
    page = (ROOT / "README.md").read_text()
    block = re.search(r"^```\nwavenet_pl/.*?^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert block is not None, "README has a block that begins with wavenet_pl/"
    named = set(re.findall(r"[\w/]+(?:/|\.py)(?=[\s,]|$)", block[0])) - {"wavenet_pl/"}
    folders = {
        f"{p.name}/" for p in (ROOT / "wavenet_pl").iterdir() if p.is_dir() and p.name != "__pycache__"
    }
    files = {path.name for path in (ROOT / "wavenet_pl").glob("*.py")}
    assert named == folders | files | {"data_prep/"}


def test_the_page_for_contributors_shows_the_same_order() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"^```\n(__main__.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert block is not None, "CONTRIBUTING has a block that begins with __main__"
    assert tuple(tuple(line.split()) for line in block[1].splitlines()) == FLOORS
