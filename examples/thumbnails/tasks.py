"""Thumbnails of pictures: image work on a queue of its own, so that nothing else waits behind it."""

import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from warren import context
from warren.context import Fail
from warren.task import task

BULK, URGENT = 2, 8


@dataclass(frozen=True, slots=True)
class Made:
    """A thumbnail, and when its making began, in seconds since the epoch."""

    path: str
    began: float


@task(queue="thumbnails", priority=BULK, timeout=30)
def thumbnail(picture: str, folder: str, size: int = 96) -> Made:
    """Write the thumbnail of a picture into a folder.

    Done twice it is the same: the file is named after the picture, and appears at once and whole. What cannot be read just now is
    tried again, as every failure is; what is no picture never will be one, so that is a dead letter at once.
    """
    began, source = time.time(), Path(picture)
    try:
        with Image.open(source) as opened:
            small = ImageOps.exif_transpose(opened).convert("RGB")
    except UnidentifiedImageError as error:
        raise Fail(f"{source.name} is no picture") from error
    small.thumbnail((size, size))
    target = Path(folder) / f"{source.stem}.png"
    unfinished = target.with_suffix(f".{context.job().id}.part")
    small.save(unfinished, "PNG")
    unfinished.replace(target)
    return Made(str(target), began)
