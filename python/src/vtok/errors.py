"""Errors. Their texts are those of the command: what was found, what was expected, and how to mend it."""

from __future__ import annotations


class Error(Exception):
    """Anything that vtok refuses or cannot do."""


class RequestError(Error, ValueError):
    """What was asked: a method, a budget, an option, an argument, data for a bench."""


class ModelError(Error):
    """The files of a model."""


class ImageError(Error):
    """A picture that cannot be read."""


class MachineError(Error, OSError):
    """The machine: memory, files."""


class InternalError(Error):
    """None of these: a fault of vtok's own."""


# As in vtok.h.
KINDS = {1: RequestError, 2: ModelError, 3: ImageError, 4: MachineError, 5: InternalError}
