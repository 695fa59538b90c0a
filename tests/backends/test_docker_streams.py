"""Docker's frames come apart the same, however they were cut into chunks."""

from __future__ import annotations

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vmvc.backends.docker_streams import STDERR, STDOUT, Frames

FRAMES = st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40)), max_size=8)


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 400)))
def test_frames_do_not_depend_on_chunks(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(struct.pack(">BxxxL", channel, len(text)) + text for channel, text in frames)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parser = Frames()
    found = [one for a, b in pairwise(edges) for one in parser.feed(stream[a:b])]
    assert found == frames


def test_a_frame_that_is_not_whole_waits() -> None:
    parser = Frames()
    assert list(parser.feed(struct.pack(">BxxxL", STDOUT, 5) + b"wor")) == []
    assert list(parser.feed(b"ds")) == [(STDOUT, b"words")]
