"""Text -> 512 bytes that print it on the serial port: the smallest guest there is."""

from __future__ import annotations

ORIGIN = 0x7C00
"""Where the firmware puts a boot sector."""
COM1 = 0x3F8
HALTS = (
    b"\xf4"  # halt: hlt
    b"\xeb\xfd"  # jmp halt
)
RESETS = (
    b"\xb0\xfe"  # mov al, 0xfe      the keyboard controller's word for it
    b"\xe6\x64"  # out 0x64, al
) + HALTS


def boot_sector(text: bytes, end: bytes = HALTS) -> bytes:
    """Assemble a boot sector that prints ``text`` on COM1 and ends so (16-bit code)."""

    def word(number: int) -> bytes:
        return number.to_bytes(2, "little")

    def code(at: int) -> bytes:
        return b"".join(
            (
                b"\xfa",  # cli               no interrupts
                b"\x31\xc0",  # xor ax, ax
                b"\x8e\xd8",  # mov ds, ax        ds = 0
                b"\xfc",  # cld               lodsb goes forward
                b"\xbe" + word(at),  # mov si, at        the text
                # next:
                b"\xac",  # lodsb             al = [si++]
                b"\x84\xc0",  # test al, al       a zero byte ends the text
                b"\x74\x11",  # jz end
                b"\x88\xc3",  # mov bl, al
                b"\xba" + word(COM1 + 5),  # mov dx, COM1 + 5  line status
                # busy:
                b"\xec",  # in al, dx
                b"\xa8\x20",  # test al, 0x20     room for a byte?
                b"\x74\xfb",  # jz busy
                b"\xb2" + bytes([COM1 & 0xFF]),  # mov dl, COM1      data
                b"\x88\xd8",  # mov al, bl
                b"\xee",  # out dx, al
                b"\xeb\xea",  # jmp next
                end,
            )
        )

    start = code(ORIGIN + len(code(0)))
    return (start + text + b"\0").ljust(510, b"\0") + b"\x55\xaa"
