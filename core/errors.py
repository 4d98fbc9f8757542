"""Exceptions that carry one sentence for the user: what is wrong and how to mend it."""

from __future__ import annotations


class FurrowError(Exception):
    """Base of every error that the user can mend; its text is shown as it is."""


class SeriesError(FurrowError):
    """The image series cannot be used: no dated image, a band is missing, bad scale."""


class RasterError(FurrowError):
    """A raster file cannot be opened or read."""


class BandError(FurrowError):
    """A band role, band number or index expression does not fit the image."""


class ParameterError(FurrowError):
    """A parameter has a value that cannot be used."""


class NoReferenceError(FurrowError):
    """No reference point can be used."""


class ModelError(FurrowError):
    """A segmentation model is unknown, missing or cannot run here."""


class WorkerError(ModelError):
    """The process that runs a model cannot be started, has ended or does not answer."""


class OutputError(FurrowError):
    """An output cannot be written."""


class DownloadError(FurrowError):
    """A file cannot be downloaded, or is not the one that was expected."""


class ArchiveError(FurrowError):
    """An archive cannot be unpacked, or must not be."""


class DependencyError(FurrowError):
    """A Python package that Furrow can use is missing, does not work, or cannot be installed."""


class Cancelled(Exception):
    """The user asked to stop. Not an error: nothing is reported, nothing is written."""
