"""The command `completion`: a script that lets a shell complete commands, options and presets."""

from __future__ import annotations

from typing import Literal

import cyclopts

from sat2map.cli.commands import COMMANDS
from sat2map.cli.parsing import make_app

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell, /) -> None:
    """Print a script that lets your shell complete commands, options and presets.

    Args:
        shell: Your shell.

    Examples:
        sat2map completion bash > ~/.local/share/bash-completion/completions/sat2map
        sat2map completion zsh > ~/.zfunc/_sat2map
        sat2map completion fish > ~/.config/fish/completions/sat2map.fish
    """
    print(completion_script(shell))


def completion_script(shell: Shell) -> str:
    """Return the completion script of a shell; cyclopts writes it, from all commands as one program."""
    program = cyclopts.App(name="sat2map", version_flags=("--version", "-V"))
    groups: dict[str, cyclopts.App] = {}
    for name in COMMANDS:
        group, _, rest = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = cyclopts.App(name=group, version_flags=())
            program.command(groups[group])
        parent = groups[group] if group else program
        parent.command(make_app(name), name=rest)
    return program.generate_completion(prog_name="sat2map", shell=shell)
