"""The command `serve`."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from pydantic import ValidationError

from sat2map.cli.flags import MAX_THREADS, Colors, DeviceFlag, Engine, between
from sat2map.errors import MissingExtraError, SettingsError
from sat2map.serve.serve_settings import Limits, ServeSettings, default_state, parse_models
from sat2map.settings import explain

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
    root_path: str = "",
    trusted_proxies: Annotated[tuple[str, ...], Several] = ("127.0.0.1", "::1"),
    workers: Annotated[int, Parameter(validator=between(1, MAX_THREADS))] = 1,
    colors: Colors = None,
    base_map: str | None = None,
    base_map_attribution: str = "",
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
        new_key: Create a key of this name, add it to the file of API keys, print it, and exit. The name of a
            read-only key for tiles begins with tiles-.
        allow_origin: Other sites whose pages may call the API, such as https://maps.example.org.
        root_path: Path below which a proxy publishes the service, such as /maps.
        trusted_proxies: Addresses or networks of proxies whose X-Forwarded-For, -Proto and -Prefix are
            believed.
        base_map: Tiles to show below the rasters of the live map, such as https://tile.example.org/{z}/{x}/{y}.png;
            without it, none, and the page loads nothing from elsewhere.
        base_map_attribution: Whose tiles they are; shown on the map.
        workers: Server processes; one is enough for most machines, as its threads use all cores.

    Examples:
        sat2map serve
        sat2map serve --model runs/mine/best.safetensors --rasters orthos
        sat2map serve --api-keys keys.txt --new-key alice
    """
    if new_key is not None:
        _make_key(api_keys, new_key)
        return
    # Checked by name: an import that fails inside the service is a fault of ours.
    if any(find_spec(name) is None for name in ("uvicorn", "fastapi", "rasterio", "cachetools")):
        raise MissingExtraError("the service", "serve")
    if rasters is not None and not rasters.is_dir():
        raise SettingsError(f"{rasters} is not a folder", hint="name a folder of rasters", setting="rasters")
    from sat2map.serve.workers import serve_forever

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
            colors=colors,
            base_map=base_map,
            base_map_attribution=base_map_attribution,
            limits=limits,
        )
    except ValidationError as error:
        raise SettingsError(explain(error)) from None
    serve_forever(settings, host, port, engine=engine, device=device, notes=_notes(settings, host))


def _notes(settings: ServeSettings, host: str) -> list[str]:
    if settings.api_keys is None and not _is_local(host):
        return [f"everyone who reaches {host} can use this service; --api-keys FILE requires a key"]
    return []


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
