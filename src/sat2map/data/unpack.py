"""Safe unpacking of archives: image files into one folder, nothing anywhere else."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from sat2map.errors import DataError
from sat2map.images.pixels import IMAGE_SUFFIXES

LIMIT: Final = 20 << 30  # bytes unpacked; the largest of the data sets has a hundredth


def unpack(archive: Path, folder: Path, *, inside: str) -> int:
    """Unpack the images of a tar archive; the folder appears when it is whole.

    Links, devices and anything that is no image are left out. A path that would leave the folder is refused.

    Args:
        archive: The archive, however it is compressed.
        folder: Where to; not there, or empty.
        inside: Folder in the archive whose content becomes that of `folder`.

    Returns:
        How many images there were.

    Raises:
        DataError: It is damaged, no archive, wants to write elsewhere, is too large, or holds no images.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        whole = Path(temporary) / "data"
        whole.mkdir()
        try:
            with tarfile.open(archive) as tar:
                count = _unpack_images(tar, whole, inside)
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError):
            raise DataError("is truncated or no tar archive") from None
        except OSError as error:
            if error.errno is None:  # gzip's own: a wrong checksum
                raise DataError(f"is damaged ({error})") from None
            raise
        if not count:
            raise DataError("holds no images")
        if folder.exists():
            folder.rmdir()
        whole.replace(folder)
    return count


def _unpack_images(tar: tarfile.TarFile, whole: Path, inside: str) -> int:
    count = size = 0
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
            raise DataError(f"wants to write outside of its folder ({member.name})")
        parts = [part for part in path.parts if part != "."]
        if parts[:1] == [inside]:
            del parts[0]
        if not member.isfile() or path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        size += member.size
        if size > LIMIT:
            raise DataError(f"holds more than {LIMIT >> 30} GiB")
        content = tar.extractfile(member)
        assert content is not None
        target = whole.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
        count += 1
    assert tar.fileobj is not None
    while tar.fileobj.read(1 << 20):  # to the end, where gzip's checksum is
        pass
    return count
