"""What dead runs left on the engines -> gone; nothing that vmvc did not make, and nothing of a live run."""

from __future__ import annotations

from pathlib import Path

import click

from vmvc import loading, registry
from vmvc.contract import Backend, Severity
from vmvc.engines import CHECK_TIMEOUT
from vmvc.errors import EngineError, Fault, InputError
from vmvc.worker import Worker


@click.command("clean")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--dry-run", is_flag=True, help="Only list what would be removed, and what would be left and why."
)
def command(files: tuple[Path, ...], dry_run: bool) -> int:
    """Remove what dead runs left behind.

    Looks at every engine with default options, and at the engines that the experiments in FILES name.
    """
    worker = Worker()
    failed = False
    seen = set()
    try:
        for backend in _backends(files):
            try:
                if any(
                    one.severity is Severity.ERROR
                    for one in worker.call("check", backend, timeout=CHECK_TIMEOUT)
                ):
                    click.echo(f"{backend.name}: not usable here, nothing to look at", err=True)
                    continue
                found = worker.call("leftovers", backend, timeout=CHECK_TIMEOUT)
                dead = [tag for tag, alive in found if not alive and (backend.kind, tag) not in seen]
                for tag, alive in found:
                    if alive:
                        click.echo(
                            f"{backend.name}: {tag.name}: left alone, its run still lives ({tag.owner})"
                        )
                seen |= {(backend.kind, tag) for tag in dead}
                if not dry_run and dead:
                    dead = worker.call("sweep", backend, dead, timeout=CHECK_TIMEOUT * 5)
                for tag in dead:
                    done = "would be removed" if dry_run else "removed"
                    click.echo(f"{backend.name}: {tag.name}: {done}, its run is dead ({tag.owner})")
            except EngineError as error:
                click.echo(f"{backend.name}: {error}", err=True)
                failed = True
    finally:
        worker.close()
    return EngineError.exit_code if failed else 0


def _backends(files: tuple[Path, ...]) -> list[Backend]:
    backends: list[Backend] = []
    for kind in registry.backend_kinds():
        try:
            found = registry.backend_class(kind)
        except EngineError as error:
            click.echo(f"{kind}: {error.what}", err=True)
            continue
        backends.append(found(kind, found.options_model()))
    faults: list[Fault] = []
    for file in files:
        try:
            loaded = loading.read(file)
        except InputError as error:
            faults += error.faults
            continue
        for name in loaded.experiment.backends:
            first = {path: levels[0] for path, levels in loaded.axes(name).items()}
            backends.append(loaded.bind(name, first)[0])
    if faults:
        raise InputError(faults)
    return backends
