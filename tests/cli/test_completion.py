"""Tests of sat2map.cli.completion, by asking a shell that has read the script."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from sat2map.cli.commands import COMMANDS
from sat2map.cli.completion import completion_script


@pytest.fixture(scope="module")
def script() -> str:
    return completion_script("bash")


def completed(script: str, line: str) -> list[str]:
    """Return what bash offers for the last word of a line."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    words = line.split(" ")
    program = f"""{script}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
COMP_LINE='{line}'; COMP_POINT={len(line)}; cur='{words[-1]}'; prev='{words[-2] if len(words) > 1 else ""}'
$(complete -p sat2map | sed -E 's/.*-F ([^ ]+) .*/\\1/') sat2map
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run([bash, "-c", program], capture_output=True, text=True, check=True)
    return [word.strip() for word in done.stdout.split()]


def test_commands_are_completed(script: str) -> None:
    found = completed(script, "sat2map ")
    assert {name.split(" ")[0] for name in COMMANDS} <= set(found)
    assert completed(script, "sat2map eval") == ["evaluate"]


def test_commands_of_two_words_are_completed(script: str) -> None:
    assert {"check", "synth"} <= set(completed(script, "sat2map data "))


def test_flags_are_completed(script: str) -> None:
    assert "--model" in completed(script, "sat2map translate --mod")
    assert "--count" in completed(script, "sat2map data synth --co")


def test_settings_are_completed_as_flags_of_train(script: str) -> None:
    assert "--learning-rate" in completed(script, "sat2map train --learn")


def test_zsh_gets_a_script_too() -> None:
    assert completion_script("zsh").startswith("#compdef sat2map")
