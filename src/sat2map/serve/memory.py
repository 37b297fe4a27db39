"""Memory as a budget: uploads and decoded images are priced before they take any."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from sat2map.models.architectures.spec import GeneratorSpec
from sat2map.serve.http_errors import BusyError, TooManyPixelsError
from sat2map.serve.serve_settings import MIB

Reserve = Callable[[int], None]


class MemoryBudget:
    """The memory that all requests and jobs may take together; may be used from any thread.

    Attributes:
        total: The budget (bytes).
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._used = 0
        self._released = threading.Condition()

    @property
    def used(self) -> int:
        """What is reserved now (bytes)."""
        return self._used

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
                if not self._released.wait_for(lambda: self._used + count <= self.total, patience):
                    raise BusyError(
                        "the memory for images is in use: try again in a few seconds", retry_after=3
                    )
                self._used += count
                mine += count

        try:
            yield reserve
        finally:
            with self._released:
                self._used -= mine
                self._released.notify_all()


def price(spec: GeneratorSpec, height: int, width: int) -> int:
    """Return the memory that translating an image takes at its peak (bytes).

    Args:
        spec: The network.
        height: Rows at the model's scale.
        width: Columns at the model's scale.
    """
    outputs = spec.colours or spec.target_bands + spec.classes
    levels = spec.source_bands + spec.target_bands  # uint8: the image and its map
    floats = 4 * (spec.source_bands + outputs)  # float32: what the network sees and gives
    return height * width * (levels + floats)
