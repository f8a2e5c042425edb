"""The house rules that a machine can hold: sizes, names, words, imports, links."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest itself needs it there

from wavenet_pl.runs.versions import DISPENSABLE

ROOT = Path(__file__).resolve().parents[1]

LONGEST_FILE = 320
LONGEST_CONFIG = 20
LONGEST_COPY = 8
LARGEST_FILE, LARGEST_WEIGHTS = 1_500_000, 4_000_000
EMBEDDED_AUDIO = 14 * 2**20


def tracked_files() -> list[Path]:
    """What git tracks; outside of a git work tree, whatever .gitignore does not name."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        names = [name for name in listed.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if names:
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    return sorted(_walk(ROOT))


def _walk(folder: Path) -> Iterator[Path]:
    ignored = [".git/", *(ROOT / ".gitignore").read_text().split("\n")]
    for path in folder.iterdir():
        anchored = f"/{path.relative_to(ROOT)}"
        if any(
            fnmatch(anchored if rule.startswith("/") else path.name, rule.rstrip("/")) for rule in ignored
        ):
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


FILES = tracked_files()
SOURCES = [
    path
    for package in ("wavenet_pl", "data_prep")
    for path in sorted((ROOT / package).rglob("*.py"))
    if "__pycache__" not in path.parts
]
PAGES = [path for path in FILES if path.suffix == ".md"]


def name_of(path: Path) -> str:
    """A path as the messages show it: from the root of the clone."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed source of one file."""
    return ast.parse(path.read_text(), filename=name_of(path))


@cache
def project() -> dict:
    """pyproject.toml, parsed."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def imported_names(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, `import_module("...")` included."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {str(a.value).split(".")[0] for a in node.args if isinstance(a, ast.Constant)}
    return names


# --- sizes and names ---


def test_files_are_short_enough_for_one_sitting() -> None:
    long = {name_of(p): n for p in SOURCES if (n := len(p.read_text().splitlines())) > LONGEST_FILE}
    assert not long, f"over {LONGEST_FILE} lines (is there a second noun inside?): {long}"


def test_files_are_named_after_something() -> None:
    vague = re.compile(r"(utils?|helpers?|common|misc|core)$")
    found = [
        name_of(p)
        for p in FILES
        if p.suffix == ".py"
        and any(vague.match(part.removesuffix(".py")) for part in p.relative_to(ROOT).parts)
    ]
    assert not found, f"name each file after what lives there: {found}"


def test_tracked_files_are_small() -> None:
    large = {
        name_of(p): p.stat().st_size
        for p in FILES
        if p.stat().st_size >= (LARGEST_WEIGHTS if p.suffix == ".safetensors" else LARGEST_FILE)
    }
    assert not large, f"{LARGEST_FILE} bytes or more, or weights of {LARGEST_WEIGHTS}: {large}"


def test_embedded_audio_stays_within_its_allowance() -> None:
    size = sum(p.stat().st_size for p in FILES if p.suffix == ".flac")
    assert size <= EMBEDDED_AUDIO, f"{size} bytes of FLAC are embedded, at most {EMBEDDED_AUDIO}"


def test_embedded_audio_comes_with_its_licences() -> None:
    folders = {p.parent for p in FILES if p.suffix == ".flac"}
    bare = [name_of(f) for f in folders if not any((d / "LICENSES.md").is_file() for d in (f, *f.parents))]
    assert not bare, f"recordings without a LICENSES.md beside or above them: {bare}"


def test_shipped_configs_say_only_what_differs() -> None:
    long = {
        name_of(p): n
        for p in (ROOT / "configs").rglob("*.yaml")
        if (n := len(p.read_text().splitlines())) > LONGEST_CONFIG
    }
    assert not long, f"over {LONGEST_CONFIG} lines: {long}"


def lines_of_code(path: Path) -> list[tuple[int, str]]:
    """Line numbers and stripped text of what a file does: no blanks, comments, docstrings or imports."""
    tree = tree_of(path)
    quiet: set[int] = set()
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text or isinstance(node, (ast.Import, ast.ImportFrom)):
            quiet |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(path.read_text().splitlines(), start=1)
    stripped = [(number, line.strip()) for number, line in lines if number not in quiet]
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def test_nothing_is_written_twice() -> None:
    """Three similar lines are fine; a run of equal lines is a missing seam."""
    seen: dict[tuple[str, ...], str] = {}
    copies = []
    for path in SOURCES:
        lines = lines_of_code(path)
        for start in range(len(lines) - LONGEST_COPY + 1):
            window = tuple(line for _, line in lines[start : start + LONGEST_COPY])
            where = f"{name_of(path)}:{lines[start][0]}"
            if window in seen:
                copies.append(f"{where} as {seen[window]}")
            seen.setdefault(window, where)
    assert not copies, f"{LONGEST_COPY} lines of code that stand elsewhere too: {copies}"


def shape_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A function's arguments and body without docstring, types and its own choice of names."""
    own = ast.parse(ast.unparse(function)).body[0]
    assert isinstance(own, (ast.FunctionDef, ast.AsyncFunctionDef))
    if ast.get_docstring(own):
        del own.body[0]
    own.name, own.returns, own.decorator_list = "function", None, []
    bound = {node.arg for node in ast.walk(own) if isinstance(node, ast.arg)}
    bound |= {n.id for n in ast.walk(own) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    order: dict[str, str] = {}
    for node in ast.walk(own):
        if isinstance(node, ast.arg):
            node.annotation, node.arg = None, order.setdefault(node.arg, f"name{len(order)}")
        elif isinstance(node, ast.Name) and node.id in bound:
            node.id = order.setdefault(node.id, f"name{len(order)}")
    return ast.unparse(own)


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of them, methods and inner ones, of five lines or more with more than one statement to repeat."""
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and (node.end_lineno or 0) - node.lineno >= 4
        ):
            yield node


def test_no_function_stands_twice() -> None:
    """Not under other names either."""
    first, second = ast.parse(
        "def scale(audio, gain=2):\n    '''One.'''\n    louder = audio * gain\n    assert louder\n    return louder\n"
        "def twice(clip: int, by=2) -> int:\n    new = clip * by\n\n    assert new\n    return new\n"
    ).body
    assert isinstance(first, ast.FunctionDef)
    assert isinstance(second, ast.FunctionDef)
    assert shape_of(first) == shape_of(second), "the check itself sees through names"
    seen: dict[str, str] = {}
    copies = []
    for path in SOURCES:
        for function in functions_of(tree_of(path)):
            where, shape = f"{name_of(path)}:{function.lineno} {function.name}", shape_of(function)
            if len(shape.splitlines()) > 2 and shape in seen:
                copies.append(f"{where} as {seen[shape]}")
            seen.setdefault(shape, where)
    assert not copies, f"one owner each: {copies}"


def test_inputs_are_named_in_their_own_files_only() -> None:
    """Else a further input would be one more place to change. Speakers and tags also have their kinds of model."""
    inputs, kinds = ROOT / "wavenet_pl" / "inputs", ("speaker", "tags")
    named_elsewhere = [
        ROOT / "wavenet_pl" / name
        for name in ("config/model.py", "config/training.py", "training/module.py", "shards/legacy.py",
                     "adaptation/base.py", "adaptation/stage.py")
    ]  # fmt: skip
    found = [
        f"{name_of(path)}:{node.lineno} {node.value}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "wavenet_pl") and path.parent != inputs
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and (node.value in ("mel", "notes") or (node.value in kinds and path not in named_elsewhere))
    ]
    assert not found, f"ask the input instead: {found}"


# --- docstrings ---


def undocumented(path: Path) -> Iterator[str]:
    """Public names of a file that say nothing about themselves."""
    tree = tree_of(path)
    if not ast.get_docstring(tree) and tree.body:
        yield name_of(path)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                yield f"{name_of(path)}:{node.lineno} {node.name}"
            # A class with bases may override what is documented there.
            if isinstance(node, ast.ClassDef) and not node.bases:
                for method in node.body:
                    if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
                        continue
                    if not ast.get_docstring(method):
                        yield f"{name_of(path)}:{method.lineno} {node.name}.{method.name}"


def test_public_names_are_documented() -> None:
    missing = [where for path in SOURCES for where in undocumented(path)]
    assert not missing, f"no docstring: {missing}"


# --- words ---

# Written so that this file does not match itself.
FOREIGN = re.compile(
    r"(?<![\w.])/(work|farm|root|opt)/[\w.]|/tmp/bash_[j]obs|\.\./[s]hared|\.\./\.[l]ibrary|/home/(?!you\b|user\b|\$)\w"
    r"|pypi\.[o]rg|pythonhosted\.[o]rg|registry\.[n]pmjs|deb\.[d]ebian|download\.[p]ytorch"
    r"|\bthis [s]ession\b|\bthis [w]orkplace\b|\bissue \#?[0-9]+|\bthe [C]EO\b|before-[s]top",
    re.IGNORECASE,
)


def test_no_machine_path_registry_or_private_word_is_committed() -> None:
    found = []
    for path in FILES:
        data = path.read_bytes()
        if b"\0" in data or path.name.startswith("LICENSE") or "licenses" in path.parts:
            continue
        for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
            if match := FOREIGN.search(line):
                found.append(f"{name_of(path)}:{number}: {match.group()}")
    assert not found, f"belongs to one machine, not to the project: {found}"


NO_NAMES = {"told", "said", "found", "where", "place", "places"}
"""They say that something is known and not what it is."""


def bound_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What a file gives a name: variables, parameters, attributes, functions, classes."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name


def test_names_say_what_a_thing_is() -> None:
    stored = ROOT / "wavenet_pl" / "shards" / "damage.py"  # a damage's `found` is a column of files on disk
    vague = [
        f"{name_of(path)}:{line} {name}"
        for path in SOURCES
        for line, name in bound_names(tree_of(path))
        if name.lower().strip("_") in NO_NAMES and path != stored
    ]
    assert not vague, f"name the thing: {vague}"


# --- imports and the environment ---


def test_torchaudio_has_one_door() -> None:
    others = [
        name_of(p)
        for p in FILES
        if p.suffix == ".py"
        and name_of(p) != "wavenet_pl/audio/torchaudio_door.py"
        and "torchaudio" in imported_names(p)
    ]
    assert not others, (
        f"import it through wavenet_pl/audio/torchaudio_door.py, which knows how it fails: {others}"
    )


def test_there_is_one_lightning() -> None:
    twins = [name_of(p) for p in FILES if p.suffix == ".py" and "pytorch_lightning" in imported_names(p)]
    assert not twins, f"`import lightning.pytorch`: two class trees do not know each other: {twins}"


def test_nobody_reads_rank_or_world_size_from_the_environment() -> None:
    names = {"RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"}
    launch = "wavenet_pl/training/launch.py"  # it has to know what a launcher started, to hold the config against it
    found = [
        f"{name_of(path)}:{node.lineno} {node.value}"
        for path in SOURCES
        if name_of(path) != launch
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]
    assert not found, f"rank and world size belong to the trainer and come in as arguments: {found}"


def test_the_environment_is_never_taken_as_a_whole() -> None:
    """Single variables only: a whole environment in a log, a config or a run would carry keys with it."""
    found = []
    for path in SOURCES:
        # One has to know every key's value, to take it out of what others read; one hands it on to commands of SLURM.
        if name_of(path) in ("wavenet_pl/files/redaction.py", "wavenet_pl/cluster/environment.py"):
            continue
        tree = tree_of(path)
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ"):
                continue
            around = parents[node]
            single = (
                (isinstance(around, ast.Subscript) and around.value is node)
                or (isinstance(around, ast.Attribute) and around.attr in ("get", "pop", "setdefault"))
                or (isinstance(around, ast.Compare) and isinstance(around.ops[0], (ast.In, ast.NotIn)))
            )
            if not single:
                found.append(f"{name_of(path)}:{node.lineno}: {ast.unparse(around)}")
    assert not found, f"name the variables that are needed: {found}"


def test_keys_are_never_printed() -> None:
    """What asks whether a key is set may not hand its value to print, a logger or an f-string."""
    secret = re.compile(r"api_?key|password|secret", re.IGNORECASE)
    talkers = ("print", "debug", "info", "warning", "error", "log", "write")
    found = []
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).split(".")[-1]
                spoken: list[ast.AST] = [*node.args] if name in talkers else []
            elif isinstance(node, ast.FormattedValue):
                spoken = [node.value]
            else:
                continue
            for part in (inner for value in spoken for inner in ast.walk(value)):
                word = (
                    part.id
                    if isinstance(part, ast.Name)
                    else part.attr
                    if isinstance(part, ast.Attribute)
                    else ""
                )
                if secret.search(word):
                    found.append(f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}")
    assert not found, f"a key must never be shown: {found}"


# --- dependencies ---


def bare(requirement: str) -> str:
    """torch>=2.11,<2.14 -> torch"""
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]


def test_each_dependency_has_a_reason() -> None:
    page = (ROOT / "docs/dependencies.md").read_text()
    with_reason = set(re.findall(r"^\| `([\w-]+)` \|", page, flags=re.MULTILINE))
    extras = project()["project"]["optional-dependencies"]
    declared = {bare(r) for group in (project()["project"]["dependencies"], *extras.values()) for r in group}
    assert with_reason == declared - {"wavenet-pl"}


OPTIONAL = ("evaluate", "judges", "kernels", "pesq")
BESIDE_OPTIONAL = {"setuptools"}  # imported by what Resemblyzer brings along, which does not ask for it


def optional() -> set[str]:
    """What is imported where it is installed only."""
    extras = project()["project"]["optional-dependencies"]
    return {bare(r) for extra in OPTIONAL for r in extras[extra]} - BESIDE_OPTIONAL


def test_dependencies_are_what_the_code_imports() -> None:
    imported = {name for path in SOURCES for name in imported_names(path)}
    foreign = imported - set(sys.stdlib_module_names) - {"wavenet_pl", "data_prep"}
    assert {"pyyaml" if name == "yaml" else name.replace("_", "-") for name in foreign} == {
        bare(r) for r in project()["project"]["dependencies"]
    } | {name.lower() for name in optional()}


WRITTEN_IN_TRITON = {f"wavenet_pl.generation.fused_gpu.{name}" for name in ("draws", "kernels", "launch")}
"""These import it at once, as there is nothing in them without it; who needs them imports them late."""


def test_what_is_optional_is_imported_late() -> None:
    names = {name.lower() for name in optional()} | DISPENSABLE.keys()
    early = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        if name_of(path).removesuffix(".py").replace("/", ".") not in WRITTEN_IN_TRITON
        for node in tree_of(path).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and (
            names & {part.split(".")[0] for part in ast.unparse(node).replace(",", " ").split()}
            or any(module in ast.unparse(node).replace(" import ", ".") for module in WRITTEN_IN_TRITON)
        )
    ]
    assert not early, f"import it in the function that needs it, for it may not be there: {early}"


# --- pages and commands ---


def test_readme_names_the_two_commands() -> None:
    page = (ROOT / "README.md").read_text()
    assert "make demo" in page
    assert "make test" in page


def without_code(page: str) -> str:
    """A page less its code blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL))


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as the usual forges make them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target) if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file.read_text())):
            broken.append(link)
    assert not broken, f"{name_of(path)} links to nothing: {broken}"


def test_ci_leaves_no_tier_out() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r'^test:.*\n\t\$\(PYTEST\) -m "not gpu and not soak" ', makefile, flags=re.MULTILINE)
    assert re.search(r'^soak:.*\n\t\$\(PYTEST\) -m "soak" ', makefile, flags=re.MULTILINE)
    assert re.search(r"^timeout .*make test", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)
