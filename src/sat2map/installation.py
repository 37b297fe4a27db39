"""How sat2map was installed here, and so the commands that run it and that install an extra of it."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install_command(*extras: str) -> str:
    """Return the command that adds extras to this installation, whichever way it was made.

    Example:
        >>> install_command("geo")  # doctest: +SKIP
        "pip install -e '.[geo]'"

    Args:
        extras: Names of `sat2map.extras.EXTRAS`.
    """
    origin, is_editable = _origin()
    names = f"[{','.join(extras)}]"
    if origin is None:
        requirement = f"sat2map{names}"
    elif "://" in origin:  # a repository or a wheel at an address (PEP 508)
        requirement = f"sat2map{names} @ {origin}"
    else:
        requirement = f"{origin}{names}"
    return f"{_pip()} install {'-e ' if is_editable else ''}{_quoted(requirement)}"


def _origin() -> tuple[str | None, bool]:
    """Return where sat2map was installed from, and whether it runs from there; None for a package index.

    It is a path, `.` for the working folder, or an address. pip writes it down (PEP 610).
    """
    try:
        about = json.loads(metadata.distribution("sat2map").read_text("direct_url.json") or "null")
    except (metadata.PackageNotFoundError, ValueError):
        about = None
    if not about:
        return None, False
    url = urlsplit(about["url"])
    if url.scheme != "file":
        vcs = about.get("vcs_info")
        return (f"{vcs['vcs']}+{about['url']}" if vcs else about["url"]), False
    path = Path(url2pathname(url.path))
    if "archive_info" in about and not path.exists():  # a wheel that was put away: it has to be found first
        return f"./{path.name}", False
    if not path.exists():  # where somebody else's package was built
        return None, False
    is_here = path == Path.cwd()
    return "." if is_here else str(path), bool(about.get("dir_info", {}).get("editable"))


def _pip() -> str:
    """Return `pip` where the shell's is that of this environment, else what runs it there."""
    return "pip" if _is_on_path("pip") else f"{_typed(Path(sys.executable))} -m pip"


def command_name() -> str:
    """Return what runs sat2map in the user's shell: its path where the environment is not activated."""
    return "sat2map" if _is_on_path("sat2map") else _typed(Path(sys.executable).with_name("sat2map"))


def _is_on_path(program: str) -> bool:
    """Whether the shell finds this environment's program under its name."""
    found = shutil.which(program)
    return found is not None and Path(found).parent == Path(sys.executable).parent


def _typed(path: Path) -> str:
    """Return a path as one would type it in the working folder."""
    inside = path.is_relative_to(Path.cwd())
    text = str(path.relative_to(Path.cwd()) if inside else path)
    return _quoted(text) if " " in text else text


def _quoted(text: str) -> str:
    if sys.platform == "win32":  # neither cmd nor PowerShell's arguments to programs know other quotes
        return f'"{text}"'
    return shlex.quote(text)
