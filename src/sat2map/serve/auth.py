"""API keys: created here, stored as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stat
from pathlib import Path

from sat2map.errors import SettingsError
from sat2map.files import atomic_path
from sat2map.serve.http_errors import UnauthorizedError

READ_ONLY_PREFIX = "tiles-"
_LINE = re.compile(r"(?P<name>[^\s#:]+) +sha256:(?P<hash>[0-9a-f]{64})")


class ApiKeys:
    """The API keys of a service.

    A key has 256 random bits, so a plain hash of it is enough. A key whose name begins with `tiles-` is
    read-only: it opens tiles and their descriptions, may stand in the query of an address, and nothing else.
    """

    def __init__(self, hashes: dict[str, str]) -> None:
        self._hashes = hashes

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """Read a file of lines `NAME sha256:HEX`.

        Raises:
            SettingsError: It cannot be read, or has a line of another form.
        """
        hashes: dict[str, str] = {}
        for number, line in enumerate(_read(path).splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise SettingsError(
                    f"line {number} of {path} is not NAME sha256:HASH", hint="make a key", setting="new_key"
                )
            hashes[match["name"]] = match["hash"]
        if not hashes:
            raise SettingsError(f"{path} holds no API key", hint="make one", setting="new_key")
        return cls(hashes)

    def check(self, key: str | None) -> str:
        """Return the name of a key.

        Raises:
            UnauthorizedError: There is no key, or it is unknown.
        """
        if not key:
            raise UnauthorizedError("send an API key, as 'Authorization: Bearer KEY'")
        given = _hash(key)
        found = None
        for name, known in self._hashes.items():  # always all of them, so that the time says nothing
            if hmac.compare_digest(given, known):
                found = name
        if found is None:
            raise UnauthorizedError("this API key is not known")
        return found


def is_read_only(name: str) -> bool:
    """Whether the key of this name opens tiles only."""
    return name.startswith(READ_ONLY_PREFIX)


def new_key(path: Path, name: str) -> str:
    """Create a key, add its hash to a file, and return it; the file keeps no more than the hash.

    A new file may be read by its owner only; an existing one keeps its mode.

    Raises:
        SettingsError: The name is taken or not valid, or the file cannot be read.
        OutputError: The file cannot be written.
    """
    if not re.fullmatch(r"[^\s#:]+", name):
        raise SettingsError(
            f"{name!r} cannot be the name of a key",
            hint="use a word without spaces, # and :",
            setting="new_key",
        )
    text = _read(path) if path.exists() else ""
    if any(line.split()[:1] == [name] for line in text.splitlines()):
        raise SettingsError(
            f"{path} has a key called {name} already",
            hint="remove its line, or use another name",
            setting="new_key",
        )
    key = secrets.token_urlsafe(32)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    with atomic_path(path) as temporary:
        temporary.touch(0o600, exist_ok=False)
        newline = "" if not text or text.endswith("\n") else "\n"
        temporary.write_text(f"{text}{newline}{name} sha256:{_hash(key)}\n", encoding="utf-8")
        temporary.chmod(mode)
    return key


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the API keys {path} cannot be read: {error}") from None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
