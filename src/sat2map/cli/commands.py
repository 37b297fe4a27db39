"""The list of commands: in which group of the help each one is, and which function runs it.

Nothing is imported here, so that `sat2map --help` answers at once: the one-line summary of a command is the
first line of its docstring, which is read from the source file.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple


class Command(NamedTuple):
    """Where a command is defined.

    Attributes:
        module: Module of `sat2map.cli`.
        function: Its function there.
        renamed: Flags of earlier versions and what they are called now; they work, but no help shows them.
        adapt: Name of a function in the module that takes the arguments and returns the function to parse
            for, where its options depend on them; or "".
    """

    module: str
    function: str
    renamed: Mapping[str, str] = MappingProxyType({})
    adapt: str = ""

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        source = Path(__file__).with_name(f"{self.module}.py").read_text("utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name == self.function:
                return (ast.get_docstring(node) or "").partition("\n")[0]
        raise AssertionError(f"{self.module}.py has no function {self.function}")


GROUPS: Final[dict[str, dict[str, Command]]] = {
    "Start": {
        "demo": Command("demo", "demo", {"--folder": "--output"}),
        "doctor": Command("doctor", "doctor"),
    },
    "Draw maps": {
        "translate": Command("translate", "translate", {"--bounds": "--bbox"}),
        "bulk": Command("bulk", "bulk"),
        "plan": Command("plan", "plan"),
        "vectorize": Command("geo", "vectorize"),
        "tiles": Command("geo", "tiles"),
        "serve": Command("serve", "serve"),
    },
    "Prepare data": {
        "data check": Command("data", "check"),
        "data download": Command("data", "download", {"--folder": "--output"}),
        "data synth": Command("make_pairs", "synth", {"--folder": "--output"}),
        "data palette": Command("data", "palette"),
        "data from-rasters": Command("make_pairs", "from_rasters"),
        "data pack": Command("data", "pack", {"--shards": "--output"}),
    },
    "Train and score": {
        "train": Command(
            "train", "train", {"--ground-sample-distance": "--gsd"}, adapt="train_with_settings"
        ),
        "presets show": Command("presets", "show"),
        "evaluate": Command("evaluate", "evaluate"),
    },
    "Model files": {
        "info": Command("models", "info"),
        "import": Command("models", "import_model", {"--to": "--output"}),
        "export": Command("models", "export", {"--pairs": "--data"}),
        "push": Command("models", "push"),
    },
    "Shell": {"completion": Command("completion", "completion")},
}
COMMANDS: Final[dict[str, Command]] = {
    name: command for group in GROUPS.values() for name, command in group.items()
}


def overview(prefix: str = "") -> str:
    """Return the commands whose names begin with `prefix`, in their groups, with a line for each."""
    lines = []
    for title, group in GROUPS.items():
        shown = {name: command for name, command in group.items() if name.startswith(prefix)}
        if shown:
            lines += ["", "Commands:" if prefix else f"{title}:"]
            lines += [f"  {name:<17} {command.summary}" for name, command in shown.items()]
    return "\n".join(lines)
