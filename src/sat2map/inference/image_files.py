"""Owns translating image files: which go in, where each comes out, and what to do when one is bad."""

from __future__ import annotations

import glob
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from sat2map.errors import ImageError, OutputError, Sat2MapError
from sat2map.images.pixels import IMAGE_SUFFIXES, read_image, with_bands, write_image
from sat2map.inference.backends import EngineOptions
from sat2map.inference.scale import ScaledTranslator
from sat2map.inference.translator import Translator
from sat2map.runtime.cpu import default_threads

MANY: Final = 8  # pictures; with fewer, one stream or more of them would soon have nothing left to do
MAX_STREAMS: Final = 4  # each has a picture in memory


@dataclass(frozen=True)
class Job:
    """One image to translate."""

    source: Path
    output: Path


def plan_jobs(inputs: Iterable[str | Path], output: Path, *, overwrite: bool = False) -> list[Job]:
    """Find the images that `inputs` name and decide where each one's map goes.

    Args:
        inputs: Files, folders (all images right in them) and globs.
        output: A folder, made if missing, where maps are PNG files of the inputs' names; or, for a single
            input file, an image file.
        overwrite: Whether existing files may be replaced.

    Raises:
        ImageError: There is no input, one matches nothing, or two have one name.
        OutputError: An output exists, or is the input itself.
    """
    sources = [path for text in inputs for path in _expand(str(text))]
    sources = list(dict.fromkeys(sources))
    if not sources:
        raise ImageError("there is nothing to translate: name image files, folders or globs")
    if output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir():
        if len(sources) > 1:
            raise OutputError(
                f"--output {output} is one file, but there are {len(sources)} inputs: give it a folder"
            )
        jobs = [Job(sources[0], output)]
    else:
        jobs = [Job(source, output / f"{source.stem}.png") for source in sources]
    twice = [path for path, count in Counter(job.output for job in jobs).items() if count > 1]
    if twice:
        names = " and ".join(str(job.source) for job in jobs if job.output == twice[0])
        raise ImageError(
            f"{names} would both be written to {twice[0]}: translate them into different folders"
        )
    for job in jobs:
        if job.output.exists() and job.output.resolve() == job.source.resolve():
            raise OutputError(
                f"{job.source} would be overwritten by its own map: give --output another folder"
            )
        if job.output.exists() and not overwrite:
            raise OutputError(f"{job.output} exists: give --output another folder, or add --overwrite")
    return jobs


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
) -> None:
    """Translate one file; an alpha channel is carried over.

    Args:
        translator: The model.
        job: What, and where to.
        progress: Called with tiles done and tiles in all.
        turn: Held while the network runs, and not while files are read and written.

    Raises:
        ImageError: The input cannot be read without damage, or the output's format cannot hold its alpha.
        OutputError: The output cannot be written.
    """
    picture = read_image(job.source)
    source = with_bands(picture.pixels, translator.header.generator.source_bands, job.source)
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
) -> int:
    """Translate all jobs, some of them at the same time; a bad image does not stop the rest.

    As many as the engine has streams are in the network, and two more are read or written meanwhile. Each is
    in memory only while it is worked on.

    Args:
        translator: The model.
        jobs: From `plan_jobs`.
        done: Called after each job, in their order, with its error, or None.

    Returns:
        How many failed.

    Raises:
        OutputError: An output cannot be written; the next ones could not either.
    """
    streams = translator.engine.streams
    turn, stopped = threading.Semaphore(streams), threading.Event()

    def progress(done: int, total: int) -> None:
        if stopped.is_set():
            raise _Stopped

    def work(job: Job) -> ImageError | None:
        try:
            translate_image(translator, job, progress, turn=turn)
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


class _Stopped(Exception):  # noqa: N818 - no mistake of anybody's
    """Nobody waits for this image any more."""


def _expand(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        found = sorted(
            p
            for p in path.iterdir()
            if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()
        )
        if not found:
            raise ImageError(f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)})")
        return found
    if path.exists():
        return [path]
    found = [
        Path(name)
        for name in sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - absolute ones too
        if Path(name).is_file()
    ]
    if not found:
        raise ImageError(f"{text} does not exist and matches no file: check the path, or quote the pattern")
    return found
