"""Errors that only a service has; `problems` maps each to an HTTP answer."""

from __future__ import annotations

from sat2map.errors import Sat2MapError


class ServiceError(Sat2MapError):
    """Base of errors that a client can fix or wait for; their text is written for clients."""


class BadRequestError(ServiceError):
    """A request that cannot be understood."""


class UnauthorizedError(ServiceError):
    """A missing or unknown API key."""


class NotFoundError(ServiceError):
    """A model, raster, tile, image or job that does not exist."""


class NotAcceptableError(ServiceError):
    """The client accepts none of the formats that the service can send."""


class UploadTooSlowError(ServiceError):
    """A body that arrived too slowly."""


class NotReadyError(ServiceError):
    """A result that was requested before the job ended."""


class BodyTooLargeError(ServiceError):
    """A body with too many bytes."""


class TooManyPixelsError(ServiceError):
    """An image with too many pixels, or whose decoding would need too much memory."""


class UnsupportedFormatError(ServiceError):
    """A file of an unsupported format."""


class InsufficientStorageError(ServiceError):
    """The disk for uploads and results is full."""


class InterruptedJobError(ServiceError):
    """A job during which the service's process died; it is not started again."""


class BusyError(ServiceError):
    """The service has too much to do; the same request may succeed later.

    Attributes:
        retry_after: Time after which the client should try again (s).
    """

    def __init__(self, problem: str, retry_after: int = 1) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
