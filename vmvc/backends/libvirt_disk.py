"""A disk image -> the files that it stands on, and an empty overlay over it, as qemu-img sees them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.errors import EngineError, ImageError

PATIENCE: Final = 60.0
"""Seconds for qemu-img to look at a disk."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a chain; ``size`` is what a guest sees, in bytes."""

    path: Path
    format: str
    size: int


def chain(disk: Path, image_format: str) -> tuple[Layer, ...]:
    """Return the disk and all that it stands on, topmost first.

    Raises: ImageError, EngineError.
    """
    told = _qemu_img(disk, "info", "--output=json", "--backing-chain", "-U", "-f", image_format, str(disk))
    return tuple(
        Layer(Path(one["filename"]).absolute(), one["format"], one["virtual-size"])
        for one in json.loads(told)
    )


def overlay(base: Layer) -> bytes:
    """Return an empty qcow2 file over ``base``: written once, copied for every trial.

    Raises: ImageError, EngineError.
    """
    with tempfile.TemporaryDirectory(prefix="vmvc-") as folder:
        made = Path(folder) / "overlay.qcow2"
        _qemu_img(
            base.path,
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            str(base.path),
            "-F",
            base.format,
            str(made),
            str(base.size),
        )
        return made.read_bytes()


def _qemu_img(disk: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["qemu-img", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise EngineError("qemu-img is not installed", hint="sudo apt-get install qemu-utils") from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(
            f"qemu-img does not come to an end with {disk}", hint="check the disk it is on"
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().removeprefix("qemu-img: ")
        raise ImageError(
            f"qemu-img cannot use {disk}: {said}", hint="check the file and its format"
        ) from error
    return done.stdout
