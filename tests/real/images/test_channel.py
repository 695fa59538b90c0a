"""The minimal init runs any command as it is."""

from __future__ import annotations

import os

import pytest

from tests.real.images.machine import TINY, Boots, Channel, connected, guest_of


@pytest.mark.real("qemu")
def test_the_channel_takes_any_command_as_it_is(boots: Boots) -> None:
    one = boots(guest_of(TINY, env={"GREETING": "a  b; $HOME 'q' \"d\" \\ \n\u00e9"}))
    one.page()
    hostile: list[str | bytes] = [
        "a  b; $HOME",
        "'\"",
        "\n\nx\n\n",
        "",
        "*",
        "-n",
        "\\0",
        "=",
        b"\x81\x82\x88\xff\x01\x7f",
        "\u00e9\u20ac",
    ]
    said = b"".join((word.encode() if isinstance(word, str) else word) + b"\0" for word in hostile)
    with connected(one.folder / "channel") as connection:
        channel = Channel(connection)
        assert channel.run("printf", "%s\\0", *hostile) == (0, said, b"")
        greeting = channel.run("sh", "-c", 'printf %s "$GREETING"')[1]
        assert greeting == "a  b; $HOME 'q' \"d\" \\ \n\u00e9".encode()
        assert channel.run("sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
        assert channel.run("sh", "-c", "kill -9 $$")[0] == 137
        assert channel.run("no-such-program")[0] == 127
        assert channel.run("/no/such/program")[0] == 127
        assert channel.run("/etc/passwd")[0] == 126
        assert channel.run("cat") == (0, b"", b"")
        binary = os.urandom(10**6)
        assert channel.run("cat", stdin=binary, timeout=60) == (0, binary, b"")
        # A request that runs into its limit takes the processes that it started with it.
        assert channel.run("sh", "-c", "echo some; sleep 999 & sleep 998", timeout=0.5)[:2] == (
            124,
            b"some\n",
        )
        assert channel.run("sh", "-c", "ps | grep -c 'sleep 99[89]'")[1] == b"0\n"
        # Requests run beside one another: the first waits for what the last one makes.
        channel.ask(0, ["sh", "-c", "until [ -e /tmp/go ]; do sleep 0.1; done; echo 0"])
        for number in range(1, 8):
            channel.ask(number, ["sh", "-c", f"echo {number}; [ {number} -lt 7 ] || touch /tmp/go"])
        answers = [channel.answer() for _ in range(8)]
        assert sorted(answers) == [(number, 0, b"%d\n" % number, b"") for number in range(8)]
        connection.sendall(b"\n\n")
        assert channel.run("true")[0] == 0
    # Whoever connects next finds the channel in order, even after half a line.
    with connected(one.folder / "channel") as connection:
        connection.sendall(b"1 30 - ZWNo")
    with connected(one.folder / "channel") as connection:
        channel = Channel(connection)
        channel.ask(99, ["echo", "again"])
        while (answer := channel.answer())[0] != 99:
            pass
        assert answer[1:] == (0, b"again\n", b"")
        channel.word(b"stop")
    assert one.ended() == 0
    assert "vmvc: command ended with 0" in one.console
