"""The command `sat2map serve`."""

from __future__ import annotations

import ipaddress
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from pydantic import ValidationError

from sat2map.errors import MissingExtraError, SettingsError
from sat2map.serve.serve_settings import Limits, ServeSettings, default_state
from sat2map.settings import Device, explain

if TYPE_CHECKING:
    LimitFlags = Limits
else:
    # A flag for each limit. tyro could read the model itself, but would report bad values in its own words.
    LimitFlags = make_dataclass(
        "LimitFlags",
        [
            (
                name,
                Annotated[info.annotation, tyro.conf.arg(help=info.description)],
                field(default=info.default),
            )
            for name, info in Limits.model_fields.items()
        ],
    )
    LimitFlags.__doc__ = Limits.__doc__


def serve(
    *,
    model: tuple[str, ...] = (),
    rasters: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    state: Path | None = None,
    api_keys: Path | None = None,
    new_key: str | None = None,
    allow_origin: tuple[str, ...] = (),
    root_path: str = "",
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1"),
    workers: int = 1,
    engine: Literal["auto", "torch", "onnx", "openvino"] = "auto",
    device: Device = "auto",
    limits: tyro.conf.OmitArgPrefixes[LimitFlags] = LimitFlags(),  # noqa: B008 - never changed
) -> None:
    """Serve a page, live maps and an API.

    Args:
        model: Model files, FILE or NAME=FILE, the default one first; none: the bundled model.
        rasters: Folder of georeferenced rasters to show as live maps.
        host: Address to listen at; 127.0.0.1: this machine only, 0.0.0.0: all networks.
        port: Port to listen at.
        state: Folder for jobs and their results; none: one in the user's state folder.
        api_keys: File of API keys; none: no key is needed.
        new_key: Create a key of this name, add it to the file of API keys, print it, and exit. The name of a
            read-only key for tiles begins with tiles-.
        allow_origin: Other sites whose pages may call the API, such as https://maps.example.org.
        root_path: Path below which a proxy publishes the service, such as /maps.
        trusted_proxies: Addresses or networks of proxies whose X-Forwarded-For, -Proto and -Prefix are
            believed.
        workers: Server processes; one is enough for most machines, as its threads use all cores.
        engine: What runs the model; auto: the fastest that is installed.
        device: Where to run.
        limits: Limits of the service.
    """
    if new_key is not None:
        _make_key(api_keys, new_key)
        return
    try:
        import uvicorn  # noqa: F401

        import sat2map.serve.app  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sat2map"):
            raise
        raise MissingExtraError("the service", "serve") from None
    if rasters is not None and not rasters.is_dir():
        raise SettingsError(f"{rasters} is not a folder", hint="name a folder of rasters", setting="rasters")
    if not 0 <= port < 65536:
        raise SettingsError(
            f"{port} is not a port", hint="use one from 1 to 65535, or 0 for any free one", setting="port"
        )
    from sat2map.serve.served_models import parse_models

    files = parse_models(list(model)) if model else {"maps": None}
    try:
        settings = ServeSettings(
            models=files,
            rasters=rasters,
            state=state or default_state(port),
            api_keys=api_keys,
            allow_origins=allow_origin,
            root_path=root_path.rstrip("/"),
            trusted_proxies=trusted_proxies,
            workers=workers,
            limits=Limits(**vars(limits)),
        )
    except ValidationError as error:
        raise SettingsError(explain(error)) from None
    from sat2map.serve.workers import serve_forever

    serve_forever(settings, host, port, engine=engine, device=device, notes=_notes(settings, host))


def _notes(settings: ServeSettings, host: str) -> list[str]:
    if settings.api_keys is None and not _is_local(host):
        return [f"everyone who reaches {host} can use this service; --api-keys FILE requires a key"]
    return []


def _make_key(path: Path | None, name: str) -> None:
    from sat2map.serve.auth import new_key

    if path is None:
        raise SettingsError("a new key needs a file to be added to", hint="name it", setting="api_keys")
    key = new_key(path, name)
    print(f"{key}\nThis key is shown once: {path} keeps only its hash.")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
