"""Owns what a service can be told: its limits, each a setting with a default, and where it listens."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

MIB = 2**20


class Limits(BaseModel):
    """What a service takes on, and where it says no."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    body_mib: int = Field(32, ge=1, description="Largest upload to translate at once (MiB).")
    megapixels: float = Field(16, gt=0, description="Largest image to translate at once (million pixels).")
    queue: int = Field(
        64, ge=1, description="Images that may wait for the network; the next is told to retry."
    )
    large_queue: int = Field(8, ge=1, description="The same for images that are cut into tiles.")
    batch: int = Field(
        4,
        ge=1,
        description="Most small images that run together: side by side on a CPU, as one batch on a GPU.",
    )
    request_seconds: float = Field(
        60, gt=0, description="Longest time for one translation, waiting included (seconds)."
    )
    upload_seconds: float = Field(60, gt=0, description="Longest time to send an upload's body (seconds).")
    concurrent_requests: int = Field(128, ge=1, description="Requests answered at the same time.")
    job_body_mib: int = Field(1024, ge=1, description="Largest upload of a job (MiB).")
    job_upload_seconds: float = Field(1800, gt=0, description="The same for a job (seconds).")
    job_picture_megapixels: float = Field(
        100,
        gt=0,
        description="Largest picture without georeference of a job; it is held in memory (million pixels).",
    )
    job_megapixels: float = Field(1000, gt=0, description="Largest raster of a job (million pixels).")
    concurrent_jobs: int = Field(1, ge=1, description="Jobs that run at the same time.")
    queued_jobs: int = Field(20, ge=1, description="Jobs that may wait or run; the next is told to retry.")
    result_mib: int = Field(10_240, ge=1, description="Disk for the uploads and results of jobs (MiB).")
    result_hours: float = Field(24, gt=0, description="How long a finished job is kept (hours).")
    cache_mib: int = Field(256, ge=1, description="Memory for computed pieces of live maps (MiB).")
    shutdown_seconds: int = Field(
        30, ge=1, description="Longest time to finish what is running when told to stop (seconds)."
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
    """Everything that decides how a service runs.

    Attributes:
        models: Model files by name, the default one first.
        rasters: Folder of rasters to show as live maps, or None.
        state: Folder for jobs; it outlives the service.
        api_keys: File of hashed API keys; None: everybody may ask.
        allow_origins: Other sites whose pages may call the API.
        limits: What it takes on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, Path]
    rasters: Path | None = None
    state: Path
    api_keys: Path | None = None
    allow_origins: tuple[str, ...] = ()
    limits: Limits = Limits()


def default_state(port: int) -> Path:
    """Return the state folder of a service that was given none: one a port, so that two do not meet."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "sat2map" / f"serve-{port}"
