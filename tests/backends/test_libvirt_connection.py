"""Where libvirt's own driver keeps its sockets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

OPEN = "from vmvc.backends.libvirt_connection import Drivers; Drivers('qemu:///embed').own()"


@pytest.mark.real("libvirt")
def test_a_cache_too_deep_for_sockets_has_a_cure() -> None:
    environment = {**os.environ, "VMVC_CACHE": f"/tmp/{'deep' * 15}"}
    done = subprocess.run(
        [sys.executable, "-c", OPEN], env=environment, capture_output=True, text=True, check=False
    )
    assert "the path is too long" in done.stderr
    assert "hint: set VMVC_CACHE to a shorter path" in done.stderr
