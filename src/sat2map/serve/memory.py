"""Memory as a budget: uploads and decoded images are priced before they take any."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from sat2map.inference.scale import size_at_model_scale
from sat2map.models.model_file import ModelHeader
from sat2map.serve.http_errors import BusyError, TooManyPixelsError
from sat2map.serve.serve_settings import MIB

Reserve = Callable[[int], None]
Size = tuple[int, int]


class MemoryBudget:
    """The memory that all requests and jobs may take together; may be used from any thread.

    Attributes:
        total: How much it is (bytes).
        used: What is reserved now (bytes).
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._released = threading.Condition()

    @contextlib.contextmanager
    def account(self, *, patience: float = 0) -> Iterator[Reserve]:
        """Yield a function that reserves bytes; all of them are released at the end of the block.

        The function raises `TooManyPixelsError` if the budget can never hold that much, and `BusyError` if
        others hold it now and do not release it within `patience` seconds.
        """
        mine = 0

        def reserve(count: int) -> None:
            nonlocal mine
            if mine + count > self.total:
                raise TooManyPixelsError(
                    f"this would take {(mine + count) / MIB:.0f} MiB of memory, and the service has "
                    f"{self.total / MIB:.0f} MiB for all: send a smaller image, or a GeoTIFF as a job"
                )
            with self._released:
                if not self._released.wait_for(lambda: self.used + count <= self.total, patience):
                    raise BusyError(
                        "the memory for images is in use: try again in a few seconds", retry_after=3
                    )
                self.used += count
                mine += count

        try:
            yield reserve
        finally:
            with self._released:
                self.used -= mine
                self._released.notify_all()


def size_for_model(header: ModelHeader, size: Size, gsd: float | None, *, pixels: int) -> Size:
    """Return the height and width (px) that a picture of some gsd, if known, has at the model's scale.

    Raises:
        SettingsError: The model's own metres per pixel are unknown.
        ImageError: The picture is too small at the model's scale.
        TooManyPixelsError: It is too large there.
    """
    height, width = size_at_model_scale(header, size, gsd)
    if height * width > pixels:
        raise TooManyPixelsError(
            f"at the model's scale the image has {width}×{height} px: at most {pixels / 1e6:g} million are "
            "accepted here"
        )
    return height, width


def price(header: ModelHeader, size: Size, gsd: float | None, *, pixels: int) -> int:
    """Return the memory that translating a picture takes at its peak (bytes); see `size_for_model`."""
    height, width = size_for_model(header, size, gsd, pixels=pixels)
    spec = header.generator
    outputs = spec.colours or spec.target_bands + spec.classes
    levels = spec.source_bands + spec.target_bands  # uint8: the image and its map
    floats = 4 * (spec.source_bands + outputs)  # float32: what the network sees and gives
    return height * width * (levels + floats)
