"""How sat2map was installed here, and so the command that installs an extra of it."""

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
    found = shutil.which("pip")
    if found and Path(found).parent == Path(sys.executable).parent:
        return "pip"
    return f"{_quoted(sys.executable, only_if_needed=True)} -m pip"


def _quoted(text: str, *, only_if_needed: bool = False) -> str:
    if sys.platform == "win32":  # neither cmd nor PowerShell's arguments to programs know other quotes
        return text if only_if_needed and " " not in text else f'"{text}"'
    return shlex.quote(text)
