"""The command `serve`."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter
from pydantic import ValidationError

from sat2map.cli.flags import DeviceFlag, Engine, between
from sat2map.cli.terminal import print_notes
from sat2map.errors import MissingExtraError, SettingsError
from sat2map.serve.serve_settings import Limits, ServeSettings, default_state
from sat2map.settings import explain

if TYPE_CHECKING:
    from sat2map.serve.service import Service

Several = Parameter(consume_multiple=True)


def serve(
    *,
    model: Annotated[tuple[str, ...], Several] = (),
    rasters: Path | None = None,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=between(0, 65_535))] = 8000,
    state: Path | None = None,
    api_keys: Path | None = None,
    new_key: str | None = None,
    allow_origin: Annotated[tuple[str, ...], Several] = (),
    engine: Engine = "auto",
    device: DeviceFlag = "auto",
    limits: Annotated[Limits, Parameter(name="*", group=Group("Limits", sort_key=2))] = Limits(),  # noqa: B008 - frozen
) -> None:
    """Serve a page, live maps and an API.

    Args:
        model: Model files, FILE or NAME=FILE, the default one first; without it, the one of the package.
        rasters: Folder of georeferenced rasters to show as live maps.
        host: Address to listen at; 127.0.0.1: this machine only, 0.0.0.0: all networks.
        port: Port to listen at; 0: any that is free.
        state: Folder for jobs and their results; without it, one in the user's state folder.
        api_keys: File of API keys; without it, requests need none.
        new_key: Make a key of this name, add it to the file of API keys, print it, and exit.
        allow_origin: Other sites whose pages may call the API, such as https://maps.example.org.

    Examples:
        sat2map serve
        sat2map serve --model runs/mine/best.safetensors --rasters orthos
        sat2map serve --api-keys keys.txt --new-key alice
    """
    if new_key is not None:
        _make_key(api_keys, new_key)
        return
    # Checked by name: an import that fails inside the service is a fault of ours.
    if any(find_spec(name) is None for name in ("uvicorn", "fastapi", "rasterio", "rio_tiler", "cachetools")):
        raise MissingExtraError("the service", "serve")
    if rasters is not None and not rasters.is_dir():
        raise SettingsError(f"{rasters} is no folder", setting="rasters")
    from sat2map.models.model import Model
    from sat2map.serve.app import create_service
    from sat2map.serve.served_models import parse_models
    from sat2map.serve.server import listen, run

    files = parse_models(list(model)) if model else {"maps": Model.find().path}
    try:
        settings = ServeSettings(
            models=files,
            rasters=rasters,
            state=state or default_state(port),
            api_keys=api_keys,
            allow_origins=allow_origin,
            limits=limits,
        )
    except ValidationError as error:
        raise SettingsError(explain(error)) from None
    with listen(host, port) as listener:
        service = create_service(settings, engine=engine, device=device)
        _warn_if_open(service, host)
        run(service, listener)


def _warn_if_open(service: Service, host: str) -> None:
    if service.keys is None and not _is_local(host):
        print_notes([f"anyone who reaches {host} may use this service; --api-keys FILE restricts it"])


def _make_key(path: Path | None, name: str) -> None:
    from sat2map.serve.auth import new_key

    if path is None:
        raise SettingsError(
            "a new key needs the file that it is added to",
            hint="name the file of API keys",
            setting="api_keys",
        )
    key = new_key(path, name)
    print(f"{key}\nThis key is shown once: {path} keeps only its hash.")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
