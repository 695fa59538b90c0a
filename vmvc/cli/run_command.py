"""Experiment files, bundles, or a run to take up -> runs, results, and an exit code that tells of them."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vmvc import journal, loading, unpacking
from vmvc.cli import progress
from vmvc.cli.again import Again, compare
from vmvc.cli.failure import explain
from vmvc.cli.options import only_option, strict_option, trials_option
from vmvc.cli.results import print_results
from vmvc.cli.text import plain
from vmvc.cli.verdicts import code_of
from vmvc.errors import ExitCode, Fault, InputError, Interrupted, VmvcError
from vmvc.execution import Finished, resume, start
from vmvc.loading import Loaded
from vmvc.manifest import digest
from vmvc.planning import plan_of


@click.command("run")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--results", "parent", type=click.Path(path_type=Path, file_okay=False), default=Path("results"),
    show_default=True, help="Where runs are kept: DIR/EXPERIMENT/RUN.",
)  # fmt: skip
@click.option(
    "--resume",
    "resumed",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Take up the interrupted run in this folder.",
)
@only_option
@trials_option
@strict_option
@click.option(
    "--fail-on",
    type=click.Choice(["worse"]),
    help="Of a bundle: exit with 1 where a quantity is worse than in its run.",
)
@click.option("--wait", is_flag=True, help="Wait while another run measures on this host.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option(
    "--plain",
    "lines",
    is_flag=True,
    help="Print a line a trial instead of a table that is drawn anew, as for a screen reader.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print each record as a JSON line, and the summary last."
)
def command(
    files: tuple[Path, ...],
    parent: Path,
    resumed: Path | None,
    only: tuple[str, ...],
    trials: int | None,
    strict: bool,
    fail_on: str | None,
    wait: bool,
    quiet: bool,
    lines: bool,
    as_json: bool,
) -> int:
    """Run the experiments in FILES, one after the other, on real engines.

    A bundle (`vmvc bundle`) is unpacked below DIR, run again and compared with the run in it.

    Exit codes: 0 all measured, 1 some trials failed (or, with --strict, a claim is refuted; with --fail-on,
    a quantity is worse than in the bundle), 2 the input is wrong, 3 an engine is missing or unusable, 4 a
    bug, 130 interrupted and resumable.
    """
    style = progress.Style.of(quiet=quiet, as_json=as_json, lines=lines)
    if resumed is not None:
        _refuse_changes(files, resumed, only, trials)
        with progress.watcher(style) as watcher:
            finished = resume(resumed, watcher, wait=wait)
        return _close(finished, style, strict)
    if not files:
        raise click.UsageError("name an experiment file, or a run with --resume")
    codes = []
    for loaded, again in _read_all(files, parent):
        try:
            plan = plan_of(loaded, only=only, count=trials)
            if not len(plan):
                raise InputError(
                    Fault(f"--only {' '.join(only)}: selects no condition", hint="vmvc plan lists them")
                )
            with progress.watcher(style) as watcher:
                finished = start(loaded, plan, parent, watcher, wait=wait)
        except Interrupted:
            raise
        except VmvcError as error:
            if len(files) == 1 or (code := explain(error)) is None:
                raise
            codes.append(code)
        else:
            codes.append(_close(finished, style, strict))
            if again is not None:
                codes.append(compare(again, finished, style, fail_on))
    return max(codes)


def _read_all(files: tuple[Path, ...], parent: Path) -> list[tuple[Loaded, Again | None]]:
    """Read every file before anything runs; bundles are unpacked below ``parent``.

    Raises: InputError with the faults of all of them.
    """
    loaded: list[tuple[Loaded, Again | None]] = []
    faults: list[Fault] = []
    for file in files:
        try:
            if unpacking.is_bundle(file):
                again = Again(file, unpacking.unpack(file, parent / ".bundles"))
                loaded.append((loading.read(again.bundle.experiment), again))
            else:
                loaded.append((loading.read(file), None))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return loaded


def _refuse_changes(files: tuple[Path, ...], run: Path, only: tuple[str, ...], trials: int | None) -> None:
    """A resumed run is the run that was started; nothing about it can be changed."""
    if only or trials is not None:
        raise click.UsageError("--resume takes up the run as it was planned; leave --only and --trials out")
    if len(files) > 1:
        raise click.UsageError("--resume takes one run")
    head = journal.head(run / "journal.jsonl")
    for file in files:
        if digest(loading.read(file).source) != head.experiment_sha256:
            raise InputError(
                Fault(
                    f"changed since run {head.run} was started",
                    str(file),
                    hint="leave the file out to take the run up as it was, or start a new run",
                )
            )


def _draw(finished: Finished) -> None:
    """Draw the reports; the run is over and whole, so what fails here is a warning and never its loss."""
    from vmvc import report

    try:
        report.write(finished.folder, finished.summary)
    except Exception as error:
        if os.environ.get("VMVC_DEBUG"):
            raise
        why = error.what if isinstance(error, VmvcError) else f"{type(error).__name__}: {error}"
        click.echo(
            f"warning: the report could not be drawn: {why}\n  hint: vmvc report {finished.folder}", err=True
        )


def _close(finished: Finished, style: progress.Style, strict: bool) -> int:
    _draw(finished)
    if style is progress.Style.JSON:
        click.echo(finished.summary.model_dump_json(exclude_none=True))
    elif style is not progress.Style.QUIET:
        print_results(finished.summary, finished.folder, finished.verdicts)
    if finished.stopped:
        click.echo(
            f"stopped: {plain(finished.stopped)}\n  hint: vmvc run --resume {finished.folder} goes on",
            err=True,
        )
    return ExitCode.TRIALS_FAILED if finished.summary.failed else code_of(finished.verdicts, strict)
