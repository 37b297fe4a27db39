"""Owns the command that starts a service."""

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
    from sat2map.serve.service import Service

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
    engine: Literal["auto", "torch", "onnx", "openvino"] = "auto",
    device: Device = "auto",
    limits: tyro.conf.OmitArgPrefixes[LimitFlags] = LimitFlags(),  # noqa: B008 - nobody changes it
) -> None:
    """Serve a page, live maps and an API.

    Args:
        model: Model files, FILE or NAME=FILE, the default first; none: the one that comes with the package.
        rasters: Folder of georeferenced rasters to show as live maps.
        host: Address to listen at; 127.0.0.1: this machine only, 0.0.0.0: everywhere.
        port: Port to listen at.
        state: Folder for jobs and their results; none: one in the user's state folder.
        api_keys: File of API keys; none: everybody who gets here may ask.
        new_key: Make a key of this name, add it to the file of --api-keys, print it, and end.
        allow_origin: Other sites whose pages may call the API, such as https://maps.example.org.
        engine: What runs the model; auto: the fastest that is installed.
        device: Where to run.
        limits: What the service takes on.
    """
    if new_key is not None:
        _make_key(api_keys, new_key)
        return
    try:
        import uvicorn  # noqa: F401

        from sat2map.serve.app import create_service
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sat2map"):
            raise
        raise MissingExtraError("the service", "serve") from None
    if rasters is not None and not rasters.is_dir():
        raise SettingsError(f"--rasters {rasters} is no folder")
    if not 0 <= port < 65536:
        raise SettingsError(f"--port {port} is no port: use one from 1 to 65535, or 0 for any that is free")
    from sat2map.models.model import Model
    from sat2map.serve.served_models import parse_models

    files = parse_models(list(model)) if model else {"maps": Model.find().path}
    try:
        settings = ServeSettings(
            models=files,
            rasters=rasters,
            state=state or default_state(port),
            api_keys=api_keys,
            allow_origins=allow_origin,
            limits=Limits(**vars(limits)),
        )
    except ValidationError as error:
        raise SettingsError(explain(error)) from None
    from sat2map.serve.server import listen, run

    with listen(host, port) as listener:
        service = create_service(settings, engine=engine, device=device)
        _warn_of_everybody(service, host)
        run(service, listener)


def _warn_of_everybody(service: Service, host: str) -> None:
    if service.keys is None and not _is_local(host):
        print(
            f"note: everybody who reaches {host} may use this service; --api-keys FILE asks for a key",
            flush=True,
        )


def _make_key(path: Path | None, name: str) -> None:
    from sat2map.serve.auth import new_key

    if path is None:
        raise SettingsError("--new-key needs --api-keys FILE, the file that it is added to")
    key = new_key(path, name)
    print(f"{key}\nThis key is shown once: {path} keeps only its hash.")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
