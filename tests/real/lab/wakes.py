"""A guest that sleeps in the lab wakes every time; without that no other test of the lab means anything."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

DOT_EVERY = 512
DOTS = 16
"""QEMU before 9.1 lost a guest after some 1,500 sleeps, in the mean of five."""
SLEEPS = (
    b"\xfa"  # cli
    b"\x31\xc0"  # xor ax, ax
    b"\x8e\xd8"  # mov ds, ax            ds = 0
    b"\x8e\xd0"  # mov ss, ax            ss = 0
    b"\xbc\x00\x7c"  # mov sp, 0x7c00
    b"\xc7\x06\x20\x00\x58\x7c"  # mov word [0x20], timer    the vector of the timer
    b"\xc7\x06\x22\x00\x00\x00"  # mov word [0x22], 0
    b"\xb0\xfe\xe6\x21"  # out 0x21, 0xfe        of all interrupts only the timer's
    b"\xb0\xff\xe6\xa1"  # out 0xa1, 0xff
    b"\x66\x31\xed"  # xor ebp, ebp          ebp: sleeps so far
    b"\x66\x31\xff"  # xor edi, edi          edi: rounds to wait before the next
    # again:
    b"\xb0\x30\xe6\x43"  # out 0x43, 0x30        the timer is to go off once
    b"\xb0\x80\xe6\x40"  # out 0x40, 0x80        after 128 of its ticks, 0.1 ms
    b"\xb0\x00\xe6\x40"  # out 0x40, 0
    b"\x66\x89\xf9"  # mov ecx, edi
    # wait:
    b"\x66\x49"  # dec ecx               so that it goes off at every distance from what follows
    b"\x79\xfc"  # jns wait
    b"\xfb"  # sti                   heard from after the next instruction on
    b"\xf4"  # hlt                   sleep
    b"\xfa"  # cli
    b"\x66\x81\xc7\xd1\x03\x00\x00"  # add edi, 977
    b"\x66\x81\xe7\xff\xff\x03\x00"  # and edi, 0x3ffff
    b"\x66\x45"  # inc ebp
    b"\xf7\xc5\xff\x01"  # test bp, 511
    b"\x75\xd4"  # jnz again
    b"\xba\xf8\x03"  # mov dx, 0x3f8         a dot on COM1
    b"\xb0\x2e"  # mov al, '.'
    b"\xee"  # out dx, al
    b"\xeb\xcc"  # jmp again
    # timer:
    b"\x50"  # push ax
    b"\xb0\x20\xe6\x20"  # out 0x20, 0x20        heard
    b"\x58"  # pop ax
    b"\xcf"  # iret
).ljust(510, b"\0") + b"\x55\xaa"


def test_a_guest_that_sleeps_wakes_every_time(tmp_path: Path) -> None:
    disk, said = tmp_path / "disk.img", tmp_path / "said"
    disk.write_bytes(SLEEPS.ljust(2**20, b"\0"))
    options = ("-accel", "kvm", "-m", "64", "-display", "none", "-serial", f"file:{said}")
    drive = ("-drive", f"file={disk},format=raw,if=ide")
    with subprocess.Popen(["qemu-system-x86_64", "-M", "pc", *options, *drive]) as guest:
        try:
            dots, heard = 0, time.monotonic()
            while dots < DOTS:
                now = said.stat().st_size if said.exists() else 0
                if now > dots:
                    dots, heard = now, time.monotonic()
                assert time.monotonic() - heard < 60, f"it slept on after {dots * DOT_EVERY} sleeps"
                time.sleep(0.2)
        finally:
            guest.kill()
