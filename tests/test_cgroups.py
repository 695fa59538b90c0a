"""Memory figures of both versions of cgroups, from folders as kernels show them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from vmvc import cgroups
from vmvc.errors import Unavailable

V1 = {
    "memory.usage_in_bytes": "1867776\n",
    "memory.max_usage_in_bytes": "4911104\n",
    "memory.kmem.usage_in_bytes": "28672\n",
    "memory.stat": "cache 1\nrss 2\ninactive_file 3\ntotal_cache 1839104\ntotal_rss 4096\n"
    "total_rss_huge 0\ntotal_inactive_file 188416\n",
}
V2 = {
    "memory.current": "5246976\n",
    "memory.peak": "6000640\n",
    "memory.stat": "anon 1122304\nfile 3506176\nkernel 487424\nkernel_stack 65536\ninactive_file 90112\n"
    "anon_thp 0\nfile_mapped 7\n",
}
VALUES1 = {
    "current": 1867776,
    "peak": 4911104,
    "anon": 4096,
    "file": 1839104,
    "kernel": 28672,
    "inactive": 188416,
}
VALUES2 = {
    "current": 5246976,
    "peak": 6000640,
    "anon": 1122304,
    "file": 3506176,
    "kernel": 487424,
    "inactive": 90112,
}


def planted(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("files", "values"), [(V1, VALUES1), (V2, VALUES2)], ids=["v1", "v2"])
def test_every_figure_has_its_place(
    tmp_path: Path, files: Mapping[str, str], values: Mapping[str, int]
) -> None:
    assert cgroups.memory(planted(tmp_path, files)) == values
    assert tuple(values) == cgroups.FIGURES


@pytest.mark.parametrize(
    ("files", "missing", "figures"),
    [
        (V1, "memory.kmem.usage_in_bytes", {"kernel"}),
        (V1, "memory.max_usage_in_bytes", {"peak"}),
        (V2, "memory.peak", {"peak"}),
        (V2, "memory.stat", {"anon", "file", "kernel", "inactive"}),
    ],
)
def test_a_file_that_the_kernel_lacks_costs_only_its_figures(
    tmp_path: Path, files: Mapping[str, str], missing: str, figures: set[str]
) -> None:
    found = cgroups.memory(planted(tmp_path, {name: files[name] for name in files if name != missing}))
    assert {name for name, figure in found.items() if isinstance(figure, Unavailable)} == figures
    for name in figures:
        assert missing in str(found[name])


def test_a_field_that_the_kernel_lacks_is_not_taken_from_its_namesake(tmp_path: Path) -> None:
    """Linux before 5.18 has no ``kernel`` in v2's memory.stat, but has ``kernel_stack``."""
    before = {**V2, "memory.stat": V2["memory.stat"].replace("kernel 487424\n", "")}
    kernel = cgroups.memory(planted(tmp_path, before))["kernel"]
    assert isinstance(kernel, Unavailable)
    assert "'kernel'" in kernel.what


def test_a_folder_without_memory_or_gone_says_so(tmp_path: Path) -> None:
    for folder, why in ((tmp_path, "does not account for memory"), (tmp_path / "no", "is gone")):
        found = cgroups.memory(folder)
        assert tuple(found) == cgroups.FIGURES
        for figure in found.values():
            assert isinstance(figure, Unavailable)
            assert why in figure.what


def test_what_is_charged_ahead_is_bounded() -> None:
    assert cgroups.slack() == 64 * mmap.PAGESIZE * (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("there", "version"),
    [
        ("cgroup.controllers", "v2"),
        ("unified/cgroup.controllers", "hybrid"),
        ("memory/tasks", "v1"),
        ("x", None),
    ],
)
def test_the_layout_of_the_host_is_told(tmp_path: Path, there: str, version: str | None) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).touch()
    assert cgroups.version(tmp_path) == version
