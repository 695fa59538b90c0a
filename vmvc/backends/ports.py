"""A port of this host -> why a guest cannot listen on it."""

from __future__ import annotations

import errno
import socket

import psutil


def obstacle(port: int) -> str | None:
    """Say what keeps a guest from listening on ``port`` of all addresses; ``None`` where nothing does."""
    dual = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if dual else socket.AF_INET) as trial:
        # As servers do: what is left of closed connections is no obstacle, a listener is.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if dual:
            trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            trial.bind(("", port))
        except OSError as error:
            if error.errno == errno.EACCES:
                return f"this user may not listen on port {port} of this host"
            if error.errno == errno.EADDRINUSE:
                return f"port {port} of this host is in use by {_holder(port)}"
            raise
    return None


def _holder(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another process"
