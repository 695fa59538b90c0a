"""Ready-made workloads: the tools of the field, with what they print, by the name that `use` asks for.

Every tool gets as many threads as the guest has CPUs, on every backend. Where it counts how much it has done,
that is for all threads together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from vmvc.metrics.task import Task, Wanted

Better = Literal["lower", "higher", "neutral"]
SECONDS: Final = 2.0
"""How long an iteration lasts by default."""
DEPTH: Final = 8
"""Requests that each job of fio keeps in flight."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A task, the Debian package that it needs, and what must hold between its quantities.

    ``little``: a rate, a mean latency, and how many requests each thread keeps in flight: by Little's law the
    first two multiplied are as many as that. ``server``: what the guest's command must begin with.
    ``seconds``: how long an iteration lasts where the experiment does not say; ``least``: what it takes at
    least to give its numbers.
    """

    task: Task
    package: str
    little: tuple[str, str, int] | None = None
    server: tuple[str, ...] = ()
    seconds: float = SECONDS
    least: int = 1


def _find(pattern: str, unit: str, better: Better, says: str, file: str = "stdout") -> Wanted:
    return Wanted(regex=pattern, unit=unit, better=better, says=says, file=file)


def _json(path: str, unit: str, better: Better, says: str) -> Wanted:
    return Wanted(json_=path, unit=unit, better=better, says=says)


def _sysbench(test: str, *arguments: str, **wanted: Wanted) -> Preset:
    common = ("sysbench", test, "--threads={threads}", "--time={seconds}", "--events=0", *arguments)
    return Preset(Task(command=(*common, "run"), quantities=wanted), "sysbench")


_TAIL: Final = r"95th percentile:\s+([0-9.]+)"
_FILES: Final = ("--file-num=4", "--file-total-size={size}")


def _fileio(mode: str) -> Preset:
    return Preset(
        Task(
            command=(
                *("env", "--chdir=/var/tmp", "sysbench", "fileio", "--threads={threads}", "--time={seconds}"),
                *("--events=0", *_FILES, f"--file-test-mode={mode}", "--file-extra-flags=direct", "run"),
            ),
            setup=("env", "--chdir=/var/tmp", "sysbench", "fileio", *_FILES, "prepare"),
            teardown=("env", "--chdir=/var/tmp", "sysbench", "fileio", *_FILES, "cleanup"),
            quantities={
                "reads": _find(r"reads/s:\s+([0-9.]+)", "1/s", "higher", "Reads of 16 KiB."),
                "writes": _find(r"writes/s:\s+([0-9.]+)", "1/s", "higher", "Writes of 16 KiB."),
                "fsyncs": _find(
                    r"fsyncs/s:\s+([0-9.]+)",
                    "1/s",
                    "higher",
                    "Calls of fsync, one for each of 4 files after 100 requests.",
                ),
                "latency_p95": _find(_TAIL, "ms", "lower", "95% of the requests took at most this."),
            },
        ),
        "sysbench",
    )


def _fio(mode: str, side: str, block: str, what: str) -> Preset:
    job = f"jobs.0.{side}"
    return Preset(
        Task(
            command=(
                *("fio", "--name=vmvc", f"--rw={mode}", f"--bs={block}", "--size={size}", "--direct=1"),
                *("--ioengine=libaio", f"--iodepth={DEPTH}", "--numjobs={threads}", "--group_reporting"),
                *("--directory=/var/tmp", "--unlink=1", "--time_based", "--runtime={seconds}"),
                *("--end_fsync=1", "--randseed=1", "--output-format=json"),
            ),
            quantities={
                "iops": _json(
                    f"{job}.iops", "1/s", "higher", f"{what} of {block}, past the guest's page cache."
                ),
                "bandwidth": _json(
                    f"{job}.bw_bytes", "B/s", "higher", f"Bytes by {what.lower()} of {block}."
                ),
                "latency_mean": _json(
                    f"{job}.lat_ns.mean", "ns", "lower", "Mean time of one request, in flight."
                ),
                "latency_p99": _json(
                    f"{job}.clat_ns.percentile.99\\.000000",
                    *("ns", "lower", "99% of the requests were complete this long after they were sent."),
                ),
            },
        ),
        "fio",
        little=("iops", "latency_mean", DEPTH),
    )


def _stress(
    stressor: str, *arguments: str, seconds: float = SECONDS, least: int = 1, **wanted: Wanted
) -> Preset:
    command = ("stress-ng", f"--{stressor}", "{threads}", *arguments, "--timeout", "{seconds}s", "--metrics")
    return Preset(Task(command=command, quantities=wanted), "stress-ng", seconds=seconds, least=least)


def _bogo(stressor: str, says: str) -> Wanted:
    return _find(
        rf"\] {stressor} +[0-9]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +([0-9.]+)", "1/s", "higher", says, "stderr"
    )


def _stream(way: str) -> Wanted:
    says = (
        f"Bytes {way} by copy, scale, add and triad over three arrays of 64 MiB; "
        "the geometric mean of the threads, each with its own."
    )
    verb = way.removesuffix("ten").replace("writ", "write")
    return _find(rf"stream +([0-9.]+) memory {verb} rate", "MiB/s", "higher", says, "stderr")


def _openssl(algorithm: str, says: str) -> Preset:
    return Preset(
        Task(
            command=(
                *("openssl", "speed", "-seconds", "{seconds}", "-multi", "{threads}", "-mr"),
                *("-bytes", "16384", "-evp", algorithm),
            ),
            quantities={
                "throughput": _find(r"^\+F:[0-9]+:[^:]+:([0-9.]+)$", "B/s", "higher", says),
            },
        ),
        "openssl",
    )


def _http() -> Mapping[str, Preset]:
    url = "http://{host}:{port}/"
    return {
        "http-wrk": Preset(
            Task(
                on="host",
                command=("wrk", "--latency", "-t1", "-c8", "-d{seconds}s", url),
                quantities={
                    "requests": _find(
                        r"^Requests/sec:\s+([0-9.]+)$",
                        *("1/s", "higher", "Answered requests of 8 connections, each with one in flight."),
                    ),
                },
            ),
            "wrk",
        ),
        "http-ab": Preset(
            Task(
                on="host",
                command=("ab", "-q", "-r", "-c", "8", "-t", "{seconds}", "-n", "1000000", url),
                quantities={
                    "requests": _find(
                        r"^Requests per second:\s+([0-9.]+)",
                        *("1/s", "higher", "Answered requests of 8 clients, each with a new connection."),
                    ),
                    "failed": _find(
                        r"^Failed requests:\s+([0-9]+)$", "1", "lower", "Requests without a good answer."
                    ),
                    "latency_p95": _find(
                        r"^\s+95%\s+([0-9]+)$", "ms", "lower", "95% of the requests took at most this."
                    ),
                },
            ),
            "apache2-utils",
        ),
    }


PRESETS: Final[Mapping[str, Preset]] = {
    "sysbench-cpu": _sysbench(
        "cpu",
        events=_find(
            r"events per second:\s+([0-9.]+)", "1/s", "higher", "Searches for all primes up to 10,000."
        ),
        latency_p95=_find(_TAIL, "ms", "lower", "95% of the searches took at most this."),
    ),
    "sysbench-memory": _sysbench(
        "memory",
        *("--memory-block-size=1M", "--memory-total-size=100T", "--memory-oper=write"),
        bandwidth=_find(
            r"transferred \(([0-9.]+) MiB/sec\)", "MiB/s", "higher", "Bytes written to blocks of 1 MiB."
        ),
    ),
    "sysbench-threads": _sysbench(
        "threads",
        events=_find(
            r"total number of events:\s+([0-9]+)",
            *("1", "higher", "Rounds of taking and leaving locks that were done in the time."),
        ),
        latency_p95=_find(_TAIL, "ms", "lower", "95% of the rounds took at most this."),
    ),
    "sysbench-fileio": _fileio("rndrw"),
    "fio-randread": _fio("randread", "read", "4k", "Random reads"),
    "fio-randwrite": _fio("randwrite", "write", "4k", "Random writes"),
    "fio-seqread": _fio("read", "read", "1M", "Reads in sequence"),
    "fio-seqwrite": _fio("write", "write", "1M", "Writes in sequence"),
    "stress-cpu": _stress(
        "cpu",
        *("--cpu-method", "matrixprod"),
        bogo_ops=_bogo("cpu", "Products of two matrices of 128 x 128 (stress-ng's bogo operations)."),
    ),
    "stress-vm": _stress(
        "vm",
        *("--vm-bytes", "64M"),
        bogo_ops=_bogo("vm", "Writes and checks of memory, map and unmap (stress-ng's bogo operations)."),
    ),
    # Without a size stress-ng takes arrays of four times the cache that it sees, and a machine shows another
    # cache than its host; with less than 4.5 s of work it tells no rate.
    "stream": _stress(
        "stream",
        *("--stream-l3-size", "16M"),
        seconds=10.0,
        least=5,
        read=_stream("read"),
        written=_stream("written"),
    ),
    "context-switch": _stress(
        "switch",
        switch=_find(
            r"switch +([0-9.]+) nanosecs per context switch",
            *("ns", "lower", "Time of one switch between two processes that write to each other by a pipe."),
            "stderr",
        ),
    ),
    "syscall": Preset(
        Task(
            command=("perf", "bench", "syscall", "basic", "-l", "500000"),
            quantities={
                "call": _find(
                    r"([0-9.]+) usecs/op",
                    *("us", "lower", "Time of one getppid, of 500,000 one after the other in one thread."),
                ),
            },
        ),
        "linux-perf",
    ),
    "openssl-sha256": _openssl("sha256", "Bytes of 16 KiB blocks that SHA-256 has digested."),
    "openssl-aes": _openssl("aes-256-gcm", "Bytes of 16 KiB blocks that AES-256-GCM has encrypted."),
    "iperf3": Preset(
        Task(
            on="host",
            port=5201,
            command=("iperf3", "-c", "{host}", "-p", "{port}", "-t", "{seconds}", "-J"),
            quantities={
                "throughput": _json(
                    "end.sum_received.bits_per_second",
                    *("bit/s", "higher", "Bits that the guest received of one TCP connection from its host."),
                ),
            },
        ),
        "iperf3",
        server=("iperf3", "-s"),
    ),
    **_http(),
}
PACKAGE_OF: Final[Mapping[str, str]] = {
    **{program: program for program in ("sysbench", "fio", "stress-ng", "openssl", "iperf3", "wrk")},
    "ab": "apache2-utils",
    "perf": "linux-perf",
}
"""Program -> the Debian package that it comes from."""
