"""The engine's stream of events -> a word on each of a container's life, as soon as the engine says so.

=========  ===================================  ==============================================
word       the engine's event                   meaning
=========  ===================================  ==============================================
network    network ``connect``                  its interface is there, its ports are published (networks
                                                that give it none say so, too, and are left out)
exec       container ``start``                  its first process is the guest's command now
stopped    container ``die``                    that process has ended
=========  ===================================  ==============================================

Source: Docker Engine API, ``GET /events``; moby daemon/start.go, daemon/monitor.go.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import docker
import requests
from docker.errors import DockerException

from vmvc.backends import docker_streams
from vmvc.backends.docker_client import ask
from vmvc.backends.streams import Pump

WORDS: Final = {
    ("network", "connect"): "network",
    ("container", "start"): "exec",
    ("container", "die"): "stopped",
}
SUBSCRIBED_WITHIN: Final = 2.0
"""Seconds in which an engine begins to tell; one that waits for its first event is not waited for."""


class Events:
    """A subscription of one container: ``tell`` is called in a thread of its own.

    ``name``: the container's; ``identity``: returns its id, once it has one.
    """

    def __init__(
        self, api: docker.APIClient, name: str, identity: Callable[[], str], tell: Callable[[str], None]
    ) -> None:
        self._api = api
        self._name = name
        self._identity = identity
        self._tell = tell
        self._rest = b""
        self._pump: Pump | None = None
        self._closed = False
        self._changed = threading.Lock()
        self._subscribed = threading.Event()
        threading.Thread(target=self._subscribe, name=f"events of {name}", daemon=True).start()
        self._subscribed.wait(SUBSCRIBED_WITHIN)

    @property
    def live(self) -> bool:
        """Whether the engine tells."""
        return self._pump is not None and not self._closed

    def close(self) -> None:
        """End the subscription; may be called twice."""
        with self._changed:
            self._closed = True
            pump = self._pump
        if pump is not None:
            pump.close()

    def _subscribe(self) -> None:
        filters = {"type": ["container", "network"], "event": [event for _, event in WORDS]}
        try:
            answer = ask(
                self._api,
                "GET",
                "/events",
                params={"filters": json.dumps(filters)},
                stream=True,
                timeout=(10, None),
            )
        except (DockerException, requests.RequestException):
            return
        finally:
            self._subscribed.set()
        with self._changed:
            if not self._closed:
                self._pump = docker_streams.pump(answer, f"events of {self._name}", self._hear)
                return
        answer.close()

    def _hear(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for word in self._words(lines):
            self._tell(word)

    def _words(self, lines: list[bytes]) -> Iterator[str]:
        for line in lines:
            with suppress(ValueError, KeyError, AttributeError):
                told = json.loads(line)
                word = WORDS.get((told["Type"], told["Action"]))
                empty = told["Actor"]["Attributes"].get("type") in ("null", "host")
                if word is not None and not empty and self._is_ours(told["Actor"]):
                    yield word

    def _is_ours(self, actor: Mapping[str, Any]) -> bool:
        attributes = actor["Attributes"]
        container = self._identity()
        return attributes.get("name") == self._name or (
            bool(container) and container in (actor.get("ID"), attributes.get("container"))
        )
