"""Owns the errors that only a service has; `problems` says what each looks like to a client."""

from __future__ import annotations

from sat2map.errors import Sat2MapError


class ServiceError(Sat2MapError):
    """Base of what a client can do wrong, or has to wait for."""


class BadRequestError(ServiceError):
    """A request that cannot be understood."""


class UnauthorizedError(ServiceError):
    """No API key, or one that is not known."""


class NotFoundError(ServiceError):
    """A model, raster, tile or job that is not there."""


class NotAcceptableError(ServiceError):
    """No format of ours is among those that the client takes."""


class UploadTooSlowError(ServiceError):
    """A body that did not arrive in time."""


class NotReadyError(ServiceError):
    """A result that was asked for before it was finished."""


class BodyTooLargeError(ServiceError):
    """A body of too many bytes."""


class TooManyPixelsError(ServiceError):
    """An image of too many pixels."""


class UnsupportedFormatError(ServiceError):
    """A file of a format that is not opened here."""


class BusyError(ServiceError):
    """Nothing is wrong, but there is too much to do: try again.

    Attributes:
        retry_after: Seconds after which it may go better.
    """

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after
