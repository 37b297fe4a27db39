"""Tests of sat2map.installation: the command that adds an extra fits the way of installing."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sat2map.errors import MissingExtraError
from sat2map.installation import command_name, install_command


@pytest.fixture
def installed_from(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets what `direct_url.json` says; the shell's pip is the environment's own."""
    monkeypatch.setattr("shutil.which", lambda name: str(Path(sys.executable).with_name(name)))
    monkeypatch.setattr("sys.platform", "linux")

    def install(about: dict[str, Any] | None) -> None:
        text = None if about is None else json.dumps(about)
        monkeypatch.setattr(
            metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text)
        )

    return install


def test_from_a_package_index_the_name_is_enough(installed_from: Any) -> None:
    installed_from(None)
    assert install_command("geo", "train") == "pip install 'sat2map[geo,train]'"


def test_in_a_clone_it_is_the_editable_install_of_that_clone(
    installed_from: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "my clone"
    clone.mkdir()
    installed_from({"url": clone.as_uri(), "dir_info": {"editable": True}})
    assert install_command("geo") == f"pip install -e '{clone}[geo]'"
    monkeypatch.chdir(clone)
    assert install_command("geo") == "pip install -e '.[geo]'"


def test_from_a_wheel_file_it_is_that_file_even_if_it_was_put_away(
    installed_from: Any, tmp_path: Path
) -> None:
    wheel = tmp_path / "sat2map-0.1.0-py3-none-any.whl"
    wheel.touch()
    installed_from({"url": wheel.as_uri(), "archive_info": {}})
    assert install_command("geo") == f"pip install '{wheel}[geo]'"
    wheel.unlink()
    assert install_command("geo") == f"pip install './{wheel.name}[geo]'"


def test_from_a_repository_it_is_that_repository(installed_from: Any) -> None:
    installed_from({"url": "https://example.org/sat2map.git", "vcs_info": {"vcs": "git", "commit_id": "0"}})
    assert install_command("geo") == "pip install 'sat2map[geo] @ git+https://example.org/sat2map.git'"


def test_the_pip_of_this_environment_is_named_where_the_shells_is_another(
    installed_from: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed_from(None)
    # The environment may lie in the working folder, and would be named from there.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/pip")
    assert install_command("geo") == f"{sys.executable} -m pip install 'sat2map[geo]'"


def test_in_the_working_folder_paths_are_as_one_would_type_them(
    installed_from: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed_from({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    assert install_command("geo") == ".venv/bin/python -m pip install -e '.[geo]'"
    assert command_name() == ".venv/bin/sat2map"


def test_an_activated_environment_has_the_command_on_its_path(installed_from: Any) -> None:
    installed_from(None)
    assert command_name() == "sat2map"


def test_on_windows_the_quotes_are_double(installed_from: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_from(None)
    monkeypatch.setattr("sys.platform", "win32")
    assert install_command("geo") == 'pip install "sat2map[geo]"'


def test_the_error_of_a_missing_extra_ends_with_the_command() -> None:
    assert str(MissingExtraError("bulk", "geo")) == f"bulk needs the 'geo' extra: {install_command('geo')}"
