"""Addresses behind a reverse proxy: scheme, client and path prefix as trusted proxies report them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from sat2map.errors import SettingsError

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class ProxyMiddleware:
    """Sets scheme, client and `root_path` of a request.

    The prefix is `root_path`, or X-Forwarded-Prefix if a trusted proxy sends it; the proxy may remove it from
    the path or leave it there. uvicorn's middleware reads X-Forwarded-Proto and X-Forwarded-For.
    """

    def __init__(self, app: ASGIApp, root_path: str, trusted: Sequence[str]) -> None:
        """Wrap an app.

        Raises:
            SettingsError: A proxy is neither an address, nor a network, nor "*".
        """
        self._app = ProxyHeadersMiddleware(_apply_prefix(app), list(trusted))  # type: ignore[arg-type]
        self._root_path = root_path
        self._anyone = "*" in trusted
        self._networks = parse_networks(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            prefix = self._root_path
            if self._trusts(scope.get("client")):
                given = dict(scope["headers"]).get(b"x-forwarded-prefix", b"").decode("latin1").rstrip("/")
                prefix = given if _PREFIX.fullmatch(given) else prefix
            scope["sat2map.prefix"] = prefix
        await self._app(scope, receive, send)  # type: ignore[arg-type]

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        if self._anyone or client is None:
            return self._anyone
        try:
            address = ipaddress.ip_address(client[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def parse_networks(trusted: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Parse addresses and networks such as 10.0.0.0/8.

    Raises:
        SettingsError: One is neither, nor "*".
    """
    try:
        return [ipaddress.ip_network(one, strict=False) for one in trusted if one != "*"]
    except ValueError as error:
        raise SettingsError(
            f"a trusted proxy cannot be used ({error})",
            hint="give an address, a network such as 10.0.0.0/8, or *",
            setting="trusted_proxies",
        ) from None


def path_of(scope: Scope) -> str:
    """Return the path of a request without the prefix."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _apply_prefix(app: ASGIApp) -> ASGIApp:
    async def with_prefix(scope: Scope, receive: Receive, send: Send) -> None:
        prefix = scope.get("sat2map.prefix", "")
        if prefix:
            path = scope["path"]
            if not (path == prefix or path.startswith(f"{prefix}/")):
                path = prefix + path  # the router expects it there
            scope = {**scope, "root_path": prefix, "path": path}
        await app(scope, receive, send)

    return with_prefix
