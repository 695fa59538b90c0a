"""Bytes chosen by the coverage that earlier ones reached -> the loader, which must have an answer to each.

libFuzzer's own options follow on the command line, then folders: what reached new code is kept in the first.
A traceback, an answer later than ``-timeout`` seconds or memory above ``-rss_limit_mb`` ends it, the bytes in
a file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vmvc"], enable_loader_override=False):
    from tests.test_loading_fuzz import check

from vmvc.schema import experiment_schema

ROOT = Path(__file__).parent.parent.parent


def seeds(folder: Path) -> None:
    """Write the corpus that it begins with: every good and bad file, and the examples."""
    places = (ROOT / "tests" / "files" / "good", ROOT / "tests" / "files" / "bad", ROOT / "experiments")
    for place in places:
        for path in place.glob("*.yaml"):
            (folder / f"{place.name}-{path.name}").write_bytes(path.read_bytes())


def words(path: Path) -> None:
    """Write the language's keys as libFuzzer's dictionary."""
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            properties = value.get("properties")
            found.update(properties if isinstance(properties, dict) else ())
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(experiment_schema())
    plain = sorted(word for word in found if word.isascii() and word.isprintable() and '"' not in word)
    extra = [
        "fake",
        "startup",
        "256MiB",
        "2s",
        "5%",
        "{",
        "[",
        ": ",
        "- ",
        "&a ",
        "*a",
        "!!int ",
        "<<: ",
        "|-\\x0a ",
    ]
    path.write_text("".join(f'"{word}"\n' for word in [*plain, *extra]))


def main() -> None:
    options = [one for one in sys.argv[1:] if one.startswith("-")]
    folders = [one for one in sys.argv[1:] if not one.startswith("-")]
    with tempfile.TemporaryDirectory() as scratch:
        known, found = Path(scratch) / "known", Path(scratch) / "found"
        for folder in (known, found):
            folder.mkdir()
        seeds(known)
        words(Path(scratch) / "words")
        limits = [
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-max_len=8192",
            f"-dict={scratch}/words",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *limits, *options, *(folders or [str(found)]), str(known)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
