"""The images in a folder, saved and found by plain functions that block."""

from cometflux.storage.folder import FolderFiles
from cometflux.storage.saved_images import SavedImages, blocking


def write_output(folder, stem, data, record, **options):
    return blocking(SavedImages(FolderFiles(folder)).write, stem, data, record, **options)


def find_each(folder, stem, prediction_id, count):
    return blocking(SavedImages(FolderFiles(folder)).find_each, stem, prediction_id, count)


def find_saved(folder, stem, prediction_id, count):
    """Return the images of a prediction; None unless all are there."""
    found = tuple(find_each(folder, stem, prediction_id, count))
    return found if all(found) else None
