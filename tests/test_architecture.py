"""Tests of what may import what, beside import-linter's contracts (`make check`).

That no torchvision is installed where the tests run is seen to by CI, whose environment is made from
pyproject.toml alone: here only our own imports are looked at, so that the tests pass on any machine.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

import sat2map
from sat2map.cli.commands import COMMANDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sat2map.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# torchvision's wheel does not load beside a CPU build of torch; the others need it.
# Its errors may be caught: torch.load(weights_only=True) raises them.
UNPICKLING = r"^\s*(import|from) (pickle|dill|joblib|cloudpickle)\b(?! import UnpicklingError$)"
FORBIDDEN = {"torchvision", "torch_fidelity", "lpips", "lightning", "pytorch_lightning", "kornia"}


def imported_by(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


# Flags, and commands with their arguments. CSS has custom properties that look like flags.
COMMAND_NAMES = "|".join(sorted({name.split(" ")[0] for name in COMMANDS}))
FLAG = re.compile(rf"(?<![\w-])(?<!var\()--[a-z][a-z-]*|\bsat2map ({COMMAND_NAMES}) ")
# These name flags of other programs: of that project's commands, and of pip.
OF_OTHER_PROGRAMS = {
    "export/pth.py",
    "models/architectures/efficient_unet/pretrained.py",
    "serve/openapi.py",  # curl's
}


def strings_of(path: Path) -> list[str]:
    """All strings of a file, docstrings excepted: these are for readers of the code."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_newcomer_sees_at_most_two_dozen_entries() -> None:
    assert len([path for path in PACKAGE.iterdir() if not path.name.startswith("__")]) <= 24


def test_nothing_needs_torchvision() -> None:
    assert {path.name: bad for path in FILES if (bad := imported_by(path) & FORBIDDEN)} == {}


def test_only_the_command_line_names_flags() -> None:
    naming = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] != "cli" and any(map(FLAG.search, strings_of(path)))
    }
    assert naming == OF_OTHER_PROGRAMS


def test_the_check_of_flags_would_see_one() -> None:
    assert FLAG.search("leave --device at auto")
    assert FLAG.search("use sat2map train again")
    assert not FLAG.search("the --- line")


def test_nothing_unpickles() -> None:
    unpickling = {path.name for path in FILES if re.search(UNPICKLING, path.read_text("utf-8"), re.MULTILINE)}
    assert unpickling == set()
    loading = re.compile(r"torch\.load\((?!.*weights_only=True)|allow_pickle=True")
    assert [path.name for path in FILES if loading.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("module", ["settings", "errors", "files", "extras", "cli.main", "cli.parsing"])
def test_what_help_needs_imports_neither_numpy_nor_torch(module: str) -> None:
    assert modules_after(f"import sat2map.{module}").isdisjoint({"numpy", "torch", "PIL"})


@pytest.mark.parametrize(
    "module",
    [
        "models.model_file",
        "images.pixels",
        "images.palette",
        "inference",
        "inference.backends",
    ],
)
def test_what_translating_needs_imports_no_torch(module: str) -> None:
    assert "torch" not in modules_after(f"import sat2map.{module}")


def test_the_architecture_page_has_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    assert contract["exhaustive"]
    layers = [set(re.split(r" [|:] ", layer)) - {"__main__"} for layer in contract["layers"]]
    # Below the others of their layer, which import them.
    below = [layers.pop(), layers.pop()]
    assert below == [{"installation"}, {"errors"}]
    layers[-1].update(*below)
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d) \| `(\w+)(?:/|\.py)` \|", page, re.MULTILINE)
    documented = {number: {name for _, name in group} for number, group in groupby(rows, lambda row: row[0])}
    assert documented == {str(7 - i): layer for i, layer in enumerate(layers)}


def test_the_check_of_imports_would_see_one() -> None:
    assert "numpy" in modules_after("import sat2map.images.pixels")
