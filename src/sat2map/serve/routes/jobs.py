"""`/v1/jobs`: large images in the background, with progress, cancelling and download."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from sat2map.serve.http_errors import BusyError, NotFoundError, NotReadyError, UnauthorizedError
from sat2map.serve.input_files import Kind
from sat2map.serve.job_runner import Jobs
from sat2map.serve.job_store import ENDED, JobRecord, State
from sat2map.serve.job_watch import LOOK_AGAIN, Watch
from sat2map.serve.openapi import documented
from sat2map.serve.problems import Problem
from sat2map.serve.routes.access import (
    BINARY,
    UPLOAD,
    UPLOAD_FAILURES,
    Gsd,
    ModelName,
    PartOfPicture,
    check_key,
    location,
    owner_of,
)
from sat2map.serve.service import Service
from sat2map.serve.upload_files import check_price, copy_file, receive_file

HEARTBEAT = 15.0  # s after which a comment is sent although nothing has changed

JobId = Annotated[
    str, InPath(max_length=64, description="The job's id.", examples=["Jq3zJ1mJm4m1pZ0a1nKZ5w"])
]
ImageId = Annotated[
    str | None, Query(max_length=64, description="Id of an image of `/v1/images`, instead of a body.")
]


class JobStatus(BaseModel):
    """The state of a job."""

    id: str = Field(examples=["Jq3zJ1mJm4m1pZ0a1nKZ5w"])
    state: State
    model: str = Field(examples=["maps"])
    kind: Kind = Field(description="A raster becomes a GeoTIFF, a picture a PNG.")
    width: int = Field(examples=[12000], description="Columns (px).")
    height: int = Field(examples=[9000], description="Rows (px).")
    tiles_done: int = Field(examples=[120])
    tiles: int = Field(examples=[768], description="Number of tiles; 0 while it is unknown.")
    created: datetime = Field(examples=["2026-01-31T12:00:00Z"])
    finished: datetime | None = Field(None, examples=["2026-01-31T12:00:00Z"])
    expires: datetime | None = Field(
        None, examples=["2026-01-31T12:00:00Z"], description="When an ended job is deleted."
    )
    error: Problem | None = None
    notes: list[str] = Field(
        [],
        examples=[["the image has 16 bits per band"]],
        description="What was assumed or left out; known once it is done.",
    )


def job_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        dependencies=[Depends(check_key(service.keys))],
        prefix="/v1/jobs",
        tags=["jobs"],
        responses=documented(UnauthorizedError, NotFoundError),
    )
    limits, jobs = service.settings.limits, service.jobs
    streams: set[object] = set()
    watch = Watch(lambda job, owner: status(jobs.get(job, owner)))

    def status(record: JobRecord) -> JobStatus:
        return JobStatus.model_validate({**record.model_dump(), "expires": jobs.expires(record)})

    @router.post(
        "", status_code=202, openapi_extra=UPLOAD, responses={202: location("job"), **UPLOAD_FAILURES}
    )
    async def create_job(
        request: Request,
        response: Response,
        part: PartOfPicture,
        model: ModelName = None,
        gsd: Gsd = None,
        image: ImageId = None,
    ) -> JobStatus:
        """Send an image or GeoTIFF, or name an uploaded one, to be translated in the background."""
        served, owner = service.models.find(model), owner_of(request)
        stored = None if image is None else service.images.get(image, owner)
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else limits.job_body_bytes
        with jobs.new_folder(min(size, limits.job_body_bytes)) as folder:
            if stored is None:
                upload = await receive_file(service, request, folder)
            else:
                there = service.images.inspected(stored)
                upload = there._replace(path=folder / stored.file)
                await anyio.to_thread.run_sync(copy_file, there.path, upload.path)
            if upload.kind == "picture":
                check_price(service, served.header, (upload.height, upload.width), gsd)
            record = jobs.add(folder, upload, owner=owner, model=served.name, gsd=gsd, part=part)
        response.headers["Location"] = request.url_for("read_job", job=record.id).path
        return status(record)

    @router.get("/{job}")
    async def read_job(request: Request, job: JobId) -> JobStatus:
        """Return the state of a job."""
        return status(jobs.get(job, owner_of(request)))

    @router.get(
        "/{job}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def watch_job(request: Request, job: JobId) -> StreamingResponse:
        """Follow a job as server-sent events: `progress` at each change, then one with the name of its end.

        The data of each is a JobStatus. `restart`: the service stops; the job continues with its next start.
        """
        owner = owner_of(request)
        first = status(jobs.get(job, owner))
        if request.scope.get("sat2map.head"):
            return StreamingResponse(iter(()), media_type="text/event-stream")
        if len(streams) >= limits.event_streams:
            raise BusyError(f"{len(streams)} event streams are open already: ask for the state instead", 10)

        async def events() -> AsyncIterator[str]:
            token = object()
            streams.add(token)
            try:
                async for event in _events(first, watch, owner, jobs):
                    yield event
            finally:
                streams.discard(token)

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=headers)

    @router.get(
        "/{job}/result",
        response_class=FileResponse,
        responses={
            200: {
                "description": "The map.",
                "content": {kind: {"schema": BINARY} for kind in ("image/tiff", "image/png")},
            },
            **documented(NotReadyError),
        },
    )
    async def download_result(request: Request, job: JobId) -> FileResponse:
        """Download the map of a finished job."""
        path = jobs.result(job, owner_of(request))
        media_type = "image/tiff" if path.suffix == ".tif" else "image/png"
        return FileResponse(
            path, media_type=media_type, filename=path.name, headers={"Cache-Control": "no-store"}
        )

    @router.delete("/{job}", status_code=204, response_model=None)
    async def delete_job(request: Request, job: JobId) -> None:
        """Cancel a job, or delete one that has ended, with its result."""
        jobs.remove(job, owner_of(request))

    return router


async def _events(first: JobStatus, watch: Watch[JobStatus], owner: str, jobs: Jobs) -> AsyncIterator[str]:
    """Yield the server-sent events of a job until it ends or the service stops."""
    last, silent = "", 0.0
    now: JobStatus | None = first
    while now is not None:  # else it was deleted
        text = now.model_dump_json()
        if now.state in ENDED:
            yield f"event: {now.state}\ndata: {text}\n\n"
            return
        if jobs.stopping:
            yield f"event: restart\nretry: 3000\ndata: {text}\n\n"
            return
        if text != last:
            yield f"event: progress\ndata: {text}\n\n"
            last, silent = text, 0.0
        elif silent > HEARTBEAT:
            yield ": still here\n\n"
            silent = 0.0
        now = await watch.next(first.id, owner)
        silent += LOOK_AGAIN
