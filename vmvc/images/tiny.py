"""The recipe ``tiny`` -> a root file system: a static busybox with all its commands and a web page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vmvc.images import archive, cache
from vmvc.images.archive import Item, file, folder, link
from vmvc.images.busybox import applets, busybox
from vmvc.images.root import PATH, Config
from vmvc.spec import RecipeImage

FORMAT: Final = 1
"""Raised whenever the same recipe gives another root file system."""

CONFIG: Final = Config(command=("/bin/serve",), env=(("PATH", PATH),))

PAGE: Final = "<!doctype html>\n<title>vmvc</title>\n<p>vmvc: ready\n"
SERVE: Final = """\
#!/bin/sh
# Serve /www until the stop signal: as process 1 of a container the web server alone would ignore it.
/bin/httpd -f -p 80 -h /www &
trap 'kill "$!"; exit 0' TERM INT
wait "$!"
"""
_PASSWD: Final = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP: Final = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"


def build(image: RecipeImage) -> tuple[str, Config]:
    """Return the digest and configuration; the tar is in the cache then."""
    program = busybox()
    digest = cache.digest_of("tiny", FORMAT, cache.digest_of_file(program), dict(image.files))
    cache.note_recipe(digest, {"base": image.base, "files": dict(image.files)})
    cache.once(
        cache.image_folder(digest) / cache.ROOT, lambda path: archive.write_tar(path, items(program, image))
    )
    return digest, CONFIG


def items(program: Path, image: RecipeImage) -> list[Item]:
    """Return everything that is in the root file system."""
    found = [folder(name) for name in ("dev", "etc", "proc", "root", "run", "sbin", "sys", "usr/bin", "var")]
    found += [
        folder("tmp", 0o1777),
        link("bin/sh", "busybox"),
        file("bin/busybox", program.read_bytes(), 0o755),
    ]
    found += [link(f"bin/{name}", "busybox") for name in applets(program) if name != "busybox"]
    found += [
        file("etc/passwd", _PASSWD),
        file("etc/group", _GROUP),
        file("etc/hosts", "127.0.0.1 localhost\n"),
        file("bin/serve", SERVE, 0o755),
        file("www/index.html", PAGE),
    ]
    found += [
        file(path.strip("/"), content, archive.text_mode(content)) for path, content in image.files.items()
    ]
    return found
