"""Owns API keys: made here, kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from sat2map.errors import SettingsError
from sat2map.files import atomic_write_text
from sat2map.serve.http_errors import UnauthorizedError

_LINE = re.compile(r"(?P<name>[^\s#:]+) +sha256:(?P<hash>[0-9a-f]{64})")


class ApiKeys:
    """The API keys that a service knows.

    A key is 256 random bits, so that a plain hash of it tells nothing.
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
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the API keys {path} cannot be read: {error}") from None
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None:
                raise SettingsError(
                    f"line {number} of {path} is not NAME sha256:HASH; make keys with: sat2map serve "
                    f"--api-keys {path} --new-key NAME"
                )
            hashes[match["name"]] = match["hash"]
        if not hashes:
            raise SettingsError(
                f"{path} holds no API key; make one: sat2map serve --api-keys {path} --new-key NAME"
            )
        return cls(hashes)

    def check(self, key: str | None) -> str:
        """Return the name of a key.

        Raises:
            UnauthorizedError: There is none, or it is not known.
        """
        if not key:
            raise UnauthorizedError("send an API key, as 'Authorization: Bearer KEY'")
        given = _hash(key)
        found = None
        for name, known in self._hashes.items():  # all of them, found or not: time tells nothing
            if hmac.compare_digest(given, known):
                found = name
        if found is None:
            raise UnauthorizedError("this API key is not known")
        return found


def new_key(path: Path, name: str) -> str:
    """Make a key, add its hash to a file, and return it: it cannot be read again.

    Raises:
        SettingsError: The name is taken or cannot be used, or the file cannot be read.
        OutputError: The file cannot be written.
    """
    if not re.fullmatch(r"[^\s#:]+", name):
        raise SettingsError(f"{name!r} cannot be a key's name: use a word without spaces, # and :")
    try:
        text = path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the API keys {path} cannot be read: {error}") from None
    if any(line.split()[:1] == [name] for line in text.splitlines()):
        raise SettingsError(f"{path} has a key called {name} already: remove its line, or use another name")
    key = secrets.token_urlsafe(32)
    atomic_write_text(
        path, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{name} sha256:{_hash(key)}\n"
    )
    return key


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
