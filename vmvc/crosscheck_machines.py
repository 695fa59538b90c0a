"""A tree of nodes -> the faults around machines that exist already, and around the way into any by SSH."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vmvc.contract import Backend
from vmvc.errors import Fault
from vmvc.factors import Factor
from vmvc.notation import Node, Place
from vmvc.spec_machine import BROUGHT, MACHINE, REACHED, USERS

Settings = Mapping[str, tuple[Place, Node | None]]
"""Backends of the file by name: place and settings."""


class Machines:
    """Which backend runs which machine, and what is wrong with that; each fault once, at its place."""

    def __init__(self, root: Node, backends: Settings, source: str) -> None:
        self._guest = root.get("guest")
        self._images = root.get("images")
        self._backends = backends
        self._source = source

    def named(self, backend: str) -> Node | None:
        """Return the node that names the machine of a backend; ``None`` where vmvc makes its guest."""
        own = self._own(backend)
        machine = _get(own, "machine")
        if machine is None and _get(own, "image") is None:
            machine = _get(self._guest, "machine")
        return machine

    def faults(self, classes: Mapping[str, type[Backend]]) -> Iterator[Fault]:
        yield from self._block("guest", self._guest, _get(self._guest, "machine"))
        for name in self._backends:
            machine = self.named(name)
            yield from self._block(f"backends.{name}.guest", self._own(name), machine)
            if machine is not None and name in classes:
                yield from self._of_backend(name, machine, classes[name])
        yield from self._logins()

    def swept(self, factor: Factor, backends: Sequence[str]) -> Iterator[Fault]:
        """Yield what is wrong with sweeping a setting of the guest."""
        key = factor.keys[0]
        if key in REACHED:
            what = f"factors: {factor.path!r} cannot be swept"
            tip = "give each machine a backend of its own: NAME: {kind: KIND, guest: {machine: NAME}}"
            yield self._fault(what, factor.place, tip)
        elif key in BROUGHT:
            for name in backends:
                machine = self.named(name)
                if machine is not None:
                    what = f"factors: {factor.path!r} has no meaning to {name}: its machine brings its own"
                    yield self._fault(f"{what} {key}", factor.place, f"leave it, or {name}, out")

    def _block(self, called: str, block: Node | None, machine: Node | None) -> Iterator[Fault]:
        """Judge one mapping of guest settings; ``machine``: the one that it is about, also from elsewhere."""
        if block is None or not isinstance(block.value, dict):
            return
        if machine is None:
            for key in MACHINE[1:]:
                if key in block.keys:
                    yield self._fault(
                        f"{called}: {key} is about a machine that exists already, and none is named",
                        block.keys[key],
                        f"add machine: NAME, or remove {key}",
                    )
            return
        for key in BROUGHT:
            if key in block.keys:
                yield self._fault(
                    f"{called}: {key} stands beside the machine {machine}, which brings its own",
                    block.keys[key],
                    f"remove {key}" if key != "image" else "remove image or machine",
                )

    def _of_backend(self, name: str, machine: Node, kind: type[Backend]) -> Iterator[Fault]:
        own = self._own(name)
        place = machine.place if _get(own, "machine") is not None else self._backends[name][0]
        if not kind.machines:
            what = f"backends.{name}: {kind.kind} runs no machines that exist already, got {machine}"
            yield self._fault(
                what, place, "give it an image of its own: guest: {image: tiny}, or leave it out"
            )
            return
        attach = _get(own, "attach") or _get(self._guest, "attach")
        ready = _get(own, "ready") or _get(self._guest, "ready")
        if attach is not None and attach.value is True and _get(ready, "console") is not None:
            yield self._fault(
                f"backends.{name}: a machine that runs already has printed what a console probe waits for",
                attach.place,
                "use http, tcp or exec in guest.ready",
            )

    def _logins(self) -> Iterator[Fault]:
        """Yield users and keys for machines of images, which have vmvc's, and what nobody makes use of."""
        told, used = set(), not self._backends
        for name in self._backends:
            ssh, image = self._ssh(name), _get(self._own(name), "image") or _get(self._guest, "image")
            used = used or ssh is _get(self._guest, "ssh")
            made = "tiny" if image is None else image.text or ""
            if (
                ssh is None
                or self.named(name) is not None
                or _get(_get(self._images, made), "disk") is not None
            ):
                continue
            for key, place in ssh.keys.items():
                if key in USERS and place not in told:
                    told.add(place)
                    what = f"ssh.{key} is for a machine or a disk of yours: in one of the image {made!r} vmvc"
                    yield self._fault(f"{what} has a {key} of its own", place, f"remove {key}")
        if not used and self._guest is not None:
            what = "guest: ssh is of no use, as every backend has a machine, an image or an ssh of its own"
            yield self._fault(what, self._guest.keys["ssh"], "put it beside those, or remove it")

    def _ssh(self, backend: str) -> Node | None:
        """Return the node that says how commands get in on a backend: see ``spec_machine.merged``."""
        own = self._own(backend)
        other = _get(own, "machine") or (_get(own, "image") and _get(self._guest, "machine"))
        return _get(own, "ssh") or (None if other else _get(self._guest, "ssh"))

    def _own(self, backend: str) -> Node | None:
        return _get(self._backends[backend][1], "guest")

    def _fault(self, what: str, place: Place, hint: str) -> Fault:
        return Fault(what, self._source, *place, hint=hint)


def _get(node: Node | None, key: str) -> Node | None:
    return node.get(key) if node is not None else None
