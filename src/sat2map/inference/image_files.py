"""Translating image files: which go in, where each map goes, and what happens when one is bad."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from sat2map.errors import ImageError, OutputError, Sat2MapError
from sat2map.files import lock_output, output_error, refuse_existing, remove_leftovers
from sat2map.images.inputs import expand_input
from sat2map.images.levels import Stretch, note_of_8_bits, use_limits
from sat2map.images.palette import Palette
from sat2map.images.pixels import IMAGE_SUFFIXES, WRITABLE_SUFFIXES, read_image, with_bands, write_image
from sat2map.images.shared_limits import measure_shared_limits
from sat2map.images.side_by_side import photo_of_pair
from sat2map.inference.backends import EngineOptions
from sat2map.inference.scale import ScaledTranslator
from sat2map.inference.translator import Translator
from sat2map.runtime.cpu import default_threads

MANY: Final = 8  # pictures; with fewer, one stream or more of them would soon have nothing left to do
MAX_STREAMS: Final = 4  # each has a picture in memory


@dataclass(frozen=True)
class Job:
    """One input to translate.

    Attributes:
        source: The file.
        output: Where its map goes.
        raster: GDAL's name of the source, an address perhaps; "" for an image that needs no GDAL.
        replace: Whether the output may replace a file that another process has written meanwhile.
    """

    source: Path
    output: Path
    raster: str = ""
    replace: bool = False


class RasterTest(Protocol):
    """Decides whether an input is for GDAL; `listed` if it was found in a folder or by a glob."""

    def __call__(self, text: str, *, listed: bool = False) -> bool:
        """Whether GDAL reads it."""
        ...


def _no_raster(text: str, *, listed: bool = False) -> bool:
    return False


def plan_jobs(
    inputs: Iterable[str | Path],
    output: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    is_raster: RasterTest = _no_raster,
) -> list[Job]:
    """Find what `inputs` name, in their order, and decide where each one's map goes.

    Args:
        inputs: Files, folders (all images and rasters right in them), globs, and GDAL's names of rasters.
        output: A folder, made if missing, where maps get the inputs' names: .png of images, .tif of rasters;
            or, for a single input file, a file.
        overwrite: Whether existing files may be replaced.
        resume: Whether existing files are earlier results, to be kept.
        is_raster: Whether an input is for GDAL.

    Raises:
        DataError: There is no input, one matches nothing, or two have one name.
        OutputError: An output exists, or is the input itself.
    """
    kinds = f"images ({', '.join(IMAGE_SUFFIXES)})" + ("" if is_raster is _no_raster else " and no rasters")
    known: dict[str, bool] = {}

    def is_known_raster(name: str, listed: bool) -> bool:
        if name not in known:
            known[name] = is_raster(name, listed=listed)
        return known[name]

    def accepts(name: str) -> bool:
        return is_known_raster(name, True) or Path(name).suffix.lower() in IMAGE_SUFFIXES

    sources: dict[str, bool] = {}
    for text in map(str, inputs):
        names = [text]
        if Path(text).exists() or not is_known_raster(text, False):
            names = expand_input(text, accepts, kinds)
        sources.update({name: is_known_raster(name, name != text) for name in names})
    if not sources:
        raise ImageError("there is nothing to translate: name image files, folders or globs")
    one_file = output.suffix.lower() in (*WRITABLE_SUFFIXES, ".gtiff") and not output.is_dir()
    if one_file and len(sources) > 1:
        raise OutputError(
            f"{output} is one file, but there are {len(sources)} inputs",
            hint="give a folder",
            setting="output",
        )
    jobs = []
    for name, raster in sources.items():
        target = output if one_file else output / f"{_stem(name)}{'.tif' if raster else '.png'}"
        jobs.append(Job(Path(name), target, name if raster else "", overwrite))
    _check_outputs(jobs, overwrite=overwrite, resume=resume)
    return jobs


def _check_outputs(jobs: Sequence[Job], *, overwrite: bool, resume: bool) -> None:
    by_output: dict[str, Job] = {}
    for job in jobs:
        other = by_output.setdefault(str(job.output).casefold(), job)  # some file systems take a for A
        if other is not job:
            raise ImageError(
                f"{other.source} and {job.source} would both be written to {job.output}",
                hint="translate them into different folders",
                setting="output",
            )
        if job.output.exists() and job.source.exists() and job.output.samefile(job.source):
            raise OutputError(
                f"{job.source} would be overwritten by its own map",
                hint="give another folder",
                setting="output",
            )
        refuse_existing(job.output, overwrite=overwrite or resume)


def _stem(name: str) -> str:
    """Return the name of an input's map: `d` of dir/d.tif?key=1, `d-Band1` of netcdf:"dir/d.nc":Band1.

    Of a service of tiles it is the host.
    """
    if "{z}" in name:
        return urlsplit(name).hostname or "map"
    last = name.split("?")[0].rstrip("/").rpartition("/")[2].replace('"', "")
    return re.sub(r"\.[^.:]+(?=:|$)", "", last).replace(":", "-") or "map"


def for_pictures(options: EngineOptions, count: int, *, tta: bool = False) -> EngineOptions:
    """Return the options with which so many pictures are translated fastest.

    Args:
        options: What was asked for.
        count: How many pictures there are.
        tta: Whether each is the mean over the eight symmetries, which needs more than whole grey levels.
    """
    threads = options.threads or default_threads()
    streams = min(MAX_STREAMS, threads) if count >= MANY and not options.low_memory else 1
    return replace(options, streams=streams, image_only=not tta)


def translate_image(
    translator: Translator | ScaledTranslator,
    job: Job,
    progress: Callable[[int, int], None] | None = None,
    *,
    turn: AbstractContextManager[object] | None = None,
    page: int | None = None,
    whole: bool = False,
    scale: tuple[float, ...] | None = None,
    stretch: Stretch | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Translate one file; an alpha channel is carried over.

    Of a training pair (a photo with its map beside it) the photo is translated.

    Args:
        translator: The model.
        job: What, and where to.
        progress: Called with tiles done and tiles in all.
        turn: Held while the network runs, and not while files are read and written.
        page: Which page or frame of a file that holds several, from 1; None: the first.
        whole: Translate all of an image that looks like a training pair.
        scale: Lowest and highest value, once or for each band; None: 8 bits as they are, or by `stretch`.
        stretch: What finds the limits of samples of more than 8 bits; None: the model, or each file.
        note: Called before the work with each thing that a user should know of the file.

    Raises:
        ImageError: The input cannot be read without damage, or the output's format cannot hold its alpha.
        OutputError: The output cannot be written, or another process writes it, or has written it.
    """
    header = translator.header
    bands = header.generator.source_bands
    with lock_output(job.output, tidy=False):
        refuse_existing(job.output, overwrite=job.replace)
        stretch = stretch or use_limits(header.limits)
        picture = read_image(job.source, page=page, bands=bands, scale=scale, stretch=stretch)
        if not whole:
            picture = photo_of_pair(picture, header.palette or Palette.load("maps"), job.source)
        assumed = () if picture.stretched else note_of_8_bits(header.limits, job.source)
        for text in (*picture.notes, *assumed):
            note(text)
        source = with_bands(picture.pixels, bands, job.source)
        try:
            with turn or nullcontext():
                fake = translator(source, progress) if progress else translator(source)
        except ImageError as error:
            raise ImageError(f"{job.source}: {error}") from None
        write_image(job.output, fake, picture.alpha)


def translate_images(
    translator: Translator | ScaledTranslator,
    jobs: Sequence[Job],
    done: Callable[[Job, Sat2MapError | None], None],
    *,
    page: int | None = None,
    whole: bool = False,
    scale: tuple[float, ...] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> int:
    """Translate all jobs, some of them at the same time; a bad image does not stop the rest.

    As many as the engine has streams are in the network, and two more are read or written meanwhile. Each is
    in memory only while it is worked on.

    Args:
        translator: The model.
        jobs: From `plan_jobs`.
        done: Called after each job, in their order, with its error, or None.
        page: As in `translate_image`.
        whole: As in `translate_image`.
        scale: As in `translate_image`; where it is None, all images of more than 8 bits get one stretch.
        note: As in `translate_image`; called from several threads.

    Returns:
        How many failed.

    Raises:
        OutputError: An output cannot be written; the next ones could not either.
    """
    for folder in {job.output.parent for job in jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise output_error(folder, failure) from failure
        remove_leftovers(folder)
    header, stretch = translator.header, use_limits(translator.header.limits)
    if len(jobs) > 1 and scale is None and header.limits is None:
        bands = header.generator.source_bands
        shared, deep = measure_shared_limits([job.source for job in jobs], page=page, bands=bands)
        stretch = shared
        for text in shared.notes(len(deep)):
            note(text)
    streams = translator.engine.streams
    turn, stopped = threading.Semaphore(streams), threading.Event()

    def progress(done: int, total: int) -> None:
        if stopped.is_set():
            raise _Stopped

    def work(job: Job) -> ImageError | None:
        try:
            translate_image(
                translator, job, progress, turn=turn, page=page, whole=whole, scale=scale, stretch=stretch,
                note=note,
            )  # fmt: skip
        except ImageError as error:
            return error
        return None

    failed = 0
    workers = streams + 2
    with ThreadPoolExecutor(workers, thread_name_prefix="translate") as pool:
        upcoming = iter(jobs)
        begun = deque((job, pool.submit(work, job)) for job in islice(upcoming, 2 * workers))
        try:
            while begun:
                job, result = begun.popleft()
                error = result.result()
                begun.extend((job, pool.submit(work, job)) for job in islice(upcoming, 1))
                failed += error is not None
                done(job, error)
        except BaseException:  # Ctrl-C too: what has begun ends at its next tile, nothing more begins
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


class _Stopped(Exception):  # noqa: N818 - no error
    """The job was cancelled."""
