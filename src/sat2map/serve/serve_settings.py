"""Settings of a service, and its limits."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sat2map.errors import SettingsError
from sat2map.files import state_folder

MIB = 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Limits(BaseModel):
    """Limits of a service; what is beyond them is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    body_mib: int = Field(32, ge=1, description="Largest upload to translate at once (MiB).")
    megapixels: float = Field(16, gt=0, description="Largest image to translate at once (million pixels).")
    queue: int = Field(64, ge=1, description="Images that may wait for the network; further ones get 503.")
    large_queue: int = Field(8, ge=1, description="The same for images that are cut into tiles.")
    batch: int = Field(
        4,
        ge=1,
        description="Small images that run together: in parallel on a CPU, as one batch on a GPU.",
    )
    request_seconds: float = Field(
        60, gt=0, description="Longest time for one translation, with the wait (seconds)."
    )
    upload_seconds: float = Field(60, gt=0, description="Longest time to send an upload's body (seconds).")
    header_seconds: float = Field(10, gt=0, description="Longest time to send a request's header (seconds).")
    memory_mib: int = Field(
        2048, ge=64, description="Memory for uploads and images of all requests and jobs (MiB)."
    )
    concurrent_uploads: int = Field(256, ge=1, description="Uploads that may arrive at the same time.")
    event_streams: int = Field(64, ge=1, description="Event streams that may be open; further ones get 503.")
    concurrent_requests: int = Field(128, ge=1, description="Requests processed at the same time.")
    job_body_mib: int = Field(1024, ge=1, description="Largest upload of a job (MiB).")
    job_upload_seconds: float = Field(1800, gt=0, description="The same for a job (seconds).")
    job_picture_megapixels: float = Field(
        100,
        gt=0,
        description="Largest picture without georeference of a job; it is held in memory (million pixels).",
    )
    job_megapixels: float = Field(1000, gt=0, description="Largest raster of a job (million pixels).")
    concurrent_jobs: int = Field(1, ge=1, description="Jobs that run at the same time.")
    queued_jobs: int = Field(20, ge=1, description="Jobs that may wait or run; further ones get 503.")
    result_mib: int = Field(10_240, ge=1, description="Disk for the uploads and results of jobs (MiB).")
    result_hours: float = Field(24, gt=0, description="Time for which a finished job is kept (hours).")
    image_mib: int = Field(
        1024, ge=1, description="Disk for uploaded images that may be translated again (MiB)."
    )
    image_minutes: float = Field(60, gt=0, description="Time for which such an image is kept (minutes).")
    drawing_mib: int = Field(128, ge=1, description="Memory for drawings of such images (MiB).")
    cache_mib: int = Field(256, ge=1, description="Memory for computed parts of live maps (MiB).")
    shutdown_seconds: int = Field(
        30, ge=1, description="Longest time to finish running requests at a stop (seconds)."
    )

    @property
    def body_bytes(self) -> int:
        """Largest body of a translation in bytes."""
        return self.body_mib * MIB

    @property
    def job_body_bytes(self) -> int:
        """Largest body of a job in bytes."""
        return self.job_body_mib * MIB

    @property
    def image_bytes(self) -> int:
        """Disk for uploaded images in bytes."""
        return self.image_mib * MIB

    @property
    def pixels(self) -> int:
        """Largest image of a translation in pixels."""
        return int(self.megapixels * 1e6)

    @property
    def job_picture_pixels(self) -> int:
        """Largest plain picture of a job in pixels."""
        return int(self.job_picture_megapixels * 1e6)

    @property
    def job_pixels(self) -> int:
        """Largest raster of a job in pixels."""
        return int(self.job_megapixels * 1e6)


class ServeSettings(BaseModel):
    """Settings of a service.

    Attributes:
        models: Models by name, the default one first: paths, hf:// names, or None for the bundled one.
        rasters: Folder of rasters to show as live maps, or None.
        state: Folder for jobs and uploaded images; it survives a restart.
        api_keys: File of hashed API keys; None: no key is needed.
        allow_origins: Other sites whose pages may call the API.
        root_path: Path below which a proxy publishes the service, such as /maps; or empty.
        trusted_proxies: Addresses and networks of proxies whose X-Forwarded headers are believed.
        workers: Number of server processes.
        colors: Name or file of the colours of all maps; None: the models' own.
        base_map: Address of the tiles below the live maps, with {z}, {x} and {y}; None: no base map.
        base_map_attribution: Whose they are.
        limits: Its limits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, str | Path | None]
    rasters: Path | None = None
    state: Path
    api_keys: Path | None = None
    allow_origins: tuple[str, ...] = ()
    root_path: str = Field("", pattern=r"^(/[A-Za-z0-9._~/-]*[^/])?$")
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    workers: int = Field(1, ge=1)
    colors: str | None = None
    base_map: str | None = Field(None, pattern=r"^https?://[^\s;,'\"/]+/[^\s'\"]*$")
    base_map_attribution: str = ""
    limits: Limits = Limits()

    @field_validator("base_map")
    @classmethod
    def _has_places(cls, value: str | None) -> str | None:
        missing = [name for name in ("{z}", "{x}", "{y}") if value is not None and name not in value]
        if missing:
            raise ValueError(f"the address of a base map lacks {missing[0]}")
        return value

    @property
    def base_map_origin(self) -> str:
        """What the page may load images from, as a Content-Security-Policy names it; empty for nothing."""
        return "" if self.base_map is None else "/".join(self.base_map.split("/")[:3]).replace("{s}", "*")


def default_state(port: int) -> Path:
    """Return the default state folder, one for each port."""
    return state_folder() / f"serve-{port}"


def parse_models(arguments: list[str]) -> dict[str, str | None]:
    """Parse `MODEL` or `NAME=MODEL` arguments; without a name the stem of the file or repository is used.

    Raises:
        SettingsError: A name is not valid, or occurs twice.
    """
    found: dict[str, str | None] = {}
    for argument in arguments:
        name, equals, model = argument.partition("=")
        if not equals:
            name, model = Path(argument.partition("@")[0]).stem, argument
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"{name!r} cannot be the name of a model",
                hint="use NAME=FILE, with letters, digits and . _ - in NAME",
                setting="model",
            )
        if name in found:
            raise SettingsError(
                f"two models are called {name!r}", hint="give them names with NAME=FILE", setting="model"
            )
        found[name] = model
    return found
