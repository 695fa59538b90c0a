"""A backend -> a test for what comes out of the guest, and for commands in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from vmvc.contract import Completed
from vmvc.errors import DeadlineExceeded, Unavailable, VmvcError
from vmvc.testing.hooks import SPEAKS
from vmvc.testing.lives import VALUE, VARIABLE, Lives

HOSTILE = (
    VALUE,
    "",
    "'single' \"double\" `back` \\slash",
    "first line\nsecond line\n",
    "*",
    "ünïcødé 漢字",
    "-n",
    "--",
    "$(exit 3) | & < > # ~ !",
    "\t",
    "%s",
)
"""Arguments that a shell, or a join and a split, would spoil."""


class InsideTests(Lives):
    """What it prints, and commands inside."""

    def test_the_console_shows_what_the_guest_prints(self) -> None:
        if not self.has_console:
            instance = self._ready()
            with pytest.raises(Unavailable):
                instance.console()
            return
        backend, guest = self.speaking()
        with self._instance(backend, guest) as (_, instance):
            instance.create()
            instance.start()
            stream = instance.console()
            text = b""
            deadline = time.monotonic() + self.timeout
            while SPEAKS.encode() not in text and time.monotonic() < deadline:
                chunk = stream.read(0.2)
                assert chunk != b"", f"the console ended before the guest: {text!r}"
                text += chunk or b""
            assert text.count(SPEAKS.encode()) == 1
            before = time.monotonic()
            text += stream.read(0.2) or b""
            assert time.monotonic() - before < 0.2 + self.slack, "read ignores its timeout"
            instance.stop(timeout=self.timeout)
            while (chunk := stream.read(0.2)) != b"":
                assert time.monotonic() < deadline, "the console does not end with the guest"
                text += chunk or b""
            assert stream.read(0.2) == b"", "the end stays the end"
            assert text.count(SPEAKS.encode()) == 1
            stream.close()
            stream.close()

    def test_the_console_can_be_closed_while_it_is_read(self) -> None:
        if not self.has_console:
            return
        backend, guest = self.speaking()
        with self._instance(backend, guest) as (_, instance):
            instance.create()
            instance.start()
            stream = instance.console()
            closer = threading.Timer(0.2, stream.close)
            closer.start()
            before = time.monotonic()
            with suppress(OSError, ValueError, VmvcError):
                while stream.read(1.0) != b"" and time.monotonic() < before + self.slack:
                    pass
            closer.join()
            assert time.monotonic() - before < self.slack, "read goes on after close"

    def test_run_is_unavailable_where_there_is_no_way_in(self) -> None:
        if self.has_run:
            return
        with pytest.raises(Unavailable):
            self._ready().run(self.copies(), timeout=self.timeout)

    def test_run_passes_every_argument_as_given(self) -> None:
        done = self._run(self.prints(HOSTILE))
        assert done is None or done.stdout.decode().split("\0")[:-1] == list(HOSTILE)

    @pytest.mark.parametrize("status", [0, 1, 42, 255])
    def test_run_returns_the_exit_status(self, status: int) -> None:
        done = self._run(self.exits(status))
        assert done is None or done.returncode == status

    def test_run_says_127_where_there_is_no_such_command(self) -> None:
        done = self._run(("vmvc-no-such-command", "x"))
        assert done is None or done.returncode == 127

    def test_run_keeps_the_two_outputs_apart(self) -> None:
        done = self._run(self.complains())
        assert done is None or (done.stdout, done.stderr) == (b"out\n", b"err\n")

    def test_run_carries_bytes_in_and_out(self) -> None:
        data = bytes(range(256)) + b"\r\n\x04\x03\x00"
        done = self._run(self.copies(), stdin=data)
        assert done is None or done == Completed(0, data, b"")

    def test_run_without_input_ends_a_reader(self) -> None:
        done = self._run(self.copies())
        assert done is None or done == Completed(0, b"", b"")

    def test_run_carries_much(self) -> None:
        data = (b"0123456789abcde\n" * (self.large // 16 + 1))[: self.large]
        done = self._run(self.copies(), stdin=data)
        assert done is None or (done.returncode, len(done.stdout), done.stdout == data) == (
            0,
            self.large,
            True,
        )

    def test_run_sees_the_environment(self) -> None:
        done = self._run(self.shows(VARIABLE))
        assert done is None or done.stdout.decode() == VALUE + "\n"

    def test_run_times_out_and_the_guest_goes_on(self) -> None:
        if not self.has_run:
            return
        instance = self._ready()
        before = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            instance.run(self.sleeps(600), timeout=1.0)
        assert 0.9 <= time.monotonic() - before <= 1.0 + self.slack
        assert instance.alive()
        assert instance.run(self.exits(0), timeout=self.timeout).returncode == 0

    def _run(self, argv: Sequence[str], stdin: bytes = b"") -> Completed | None:
        return self._ready().run(argv, timeout=self.timeout, stdin=stdin) if self.has_run else None
