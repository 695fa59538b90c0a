"""A port is free, or it is said who has it."""

from __future__ import annotations

import os
import socket

import pytest

from vmvc.backends.ports import obstacle


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, ""), (socket.AF_INET6, "::")]
)
def test_a_listener_is_named(family: int, address: str) -> None:
    with socket.socket(family) as taken:
        taken.bind((address, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"(pid {os.getpid()})" in (obstacle(port) or "")
    assert obstacle(port) is None


def test_closed_connections_are_no_obstacle() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = server.accept()
        served.close()
        client.recv(1)
        client.close()
    assert obstacle(port) is None
