"""A file in, an experiment and its plug-ins out; or every fault in it, each at its place."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from pydantic import ValidationError

from vmvc.contract import Guest
from vmvc.errors import ExitCode, InputError
from vmvc.loading import Loaded, loads, read
from vmvc.spec import DiskImage, Experiment, ReadyHttp, RecipeImage

FILES = Path(__file__).parent / "files"
FIRST = "name: first\nbackends: [fake]\nmetrics: [startup]\n"


def load(text: str) -> Loaded:
    return loads(text.encode(), "x.yaml", Path("/folder"))


def faults(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(text)
    return str(caught.value).splitlines()


# --- the table of good and bad files (tests/test_schema.py puts it through the JSON Schema, too) ----------


@pytest.mark.parametrize("path", sorted(FILES.glob("good/*.yaml")), ids=lambda path: path.stem)
def test_good_files(path: Path) -> None:
    loaded = read(path)
    assert loaded.source == path.read_bytes()
    assert loaded.folder == path.parent
    for backend in loaded.experiment.backends:
        first = {factor: levels[0] for factor, levels in loaded.axes(backend).items()}
        assert loaded.bind(backend, first)[0].name == backend


@pytest.mark.parametrize("path", sorted(FILES.glob("bad/*.yaml")), ids=lambda path: path.stem)
def test_bad_files(path: Path) -> None:
    """What is said of ``bad/NAME.yaml`` stands in ``bad/NAME.txt``."""
    with pytest.raises(InputError) as caught:
        loads(path.read_bytes(), path.name, path.parent)
    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text(encoding="utf-8")
    assert caught.value.exit_code is ExitCode.BAD_INPUT


# --- reading ----------------------------------------------------------------------------------------------


def test_a_missing_file_suggests_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text(FIRST)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "quikstart.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/quikstart.yaml: there is no such file\n  hint: did you mean 'quickstart.yaml'?"
    )


@pytest.mark.parametrize("name", ["absent/x.yaml", "file/x.yaml", "nul\0.yaml", "n" * 300])
def test_paths_that_lead_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text(FIRST)
    with pytest.raises(InputError):
        read(tmp_path / name)


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a folder"):
        read(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs the tests, may read every real file
    with pytest.raises(InputError, match="may not read"):
        read(tmp_path / "x.yaml")


def test_an_endless_file_ends() -> None:
    with pytest.raises(InputError, match="larger than 1 MiB"):
        read(Path("/dev/zero"))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(FIRST.encode())))
    loaded = read(Path("-"))
    assert loaded.experiment.name == "first"
    assert loaded.folder == Path.cwd()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"name: 1")))
    with pytest.raises(InputError, match=r"^stdin:1:1: "):
        read(Path("-"))


def test_the_folder_of_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(FIRST)
    assert read(Path("x.yaml")).folder == tmp_path


def test_a_file_of_many_faults_tells_the_first_hundred() -> None:
    keys = "".join(f"key{number}: 1\n" for number in range(500))
    said = faults(FIRST + keys)
    assert "x.yaml: there are more faults than these" in said
    assert sum(line.startswith("x.yaml:") for line in said) == 101


MANY: Final = {
    "keys": FIRST + "".join(f"k{number}: 1\n" for number in range(80_000)),
    "backends": "name: a\nmetrics: [startup]\nbackends:\n"
    + "".join(f"  n{number}: {{kind: fake, x: 1}}\n" for number in range(30_000)),
    "factors": FIRST + "factors:\n" + "".join(f"  guest.memori{number}: [1]\n" for number in range(40_000)),
    "claims": FIRST
    + "claims:\n"
    + "".join(
        f"- {{id: c{number}, says: x, metric: startup.raedy, backend: fak}}\n" for number in range(15_000)
    ),
    "long key": FIRST + "guest: {" + "a" * 900_000 + ": 1}\n",
    "long path": FIRST + "factors: {guest." + "a." * 400_000 + "b: [1]}\n",
}


@pytest.mark.parametrize("what", MANY)
def test_too_much_of_anything_ends_in_good_time(what: str) -> None:
    start = time.perf_counter()
    said = faults(MANY[what])
    assert time.perf_counter() - start < 20
    assert len("".join(said)) < 50_000


# --- what is loaded ---------------------------------------------------------------------------------------


def test_three_lines_are_enough() -> None:
    loaded = load(FIRST)
    backend, guest = loaded.bind("fake", {})
    assert backend.kind == "fake"
    assert guest == Guest(
        image=RecipeImage(base="tiny"),
        cpus=1,
        memory=256 * 2**20,
        ready=ReadyHttp.model_validate_json('{"http": {"port": 80}}'),
        folder=Path("/folder"),
    )
    assert [metric.name for metric in loaded.metrics] == ["startup"]
    assert loaded.axes("fake") == {}


SWEPT = """name: swept
images: {disk: {disk: old.qcow2}}
guest: {memory: 1GiB, cpus: 2, env: {A: "1"}, command: [a, b c]}
backends:
  one: {kind: fake}
  two: {kind: fake, options: {start: 1s}, guest: {image: disk, cpus: 4}}
factors:
  guest.memory: [256MiB, 512MiB]
  backends.two.options.seed: [1, 2]
  guest.env.B: ["1", "2"]
  backends.one.options.stop: [0s, 1s]
metrics: {memory: {settle: 1s}, startup: {}}
"""


def test_factors_of_the_guest_apply_to_all_and_options_to_one() -> None:
    loaded = load(SWEPT)
    memory, environment = ("256MiB", "512MiB"), ("1", "2")
    stop = ("0s", "1s")
    assert loaded.axes("one") == {
        "guest.memory": memory,
        "guest.env.B": environment,
        "backends.one.options.stop": stop,
    }
    assert list(loaded.axes("two")) == ["guest.memory", "backends.two.options.seed", "guest.env.B"]


def test_levels_replace_what_the_file_gives() -> None:
    loaded = load(SWEPT)
    backend, guest = loaded.bind(
        "two", {"guest.memory": "512MiB", "backends.two.options.seed": 2, "guest.env.B": "1"}
    )
    assert backend.options == backend.options_model.model_validate_json('{"start": "1s", "seed": 2}')
    assert isinstance(guest.image, DiskImage)
    assert (guest.cpus, guest.memory, guest.env) == (4, 512 * 2**20, {"A": "1", "B": "1"})
    assert guest.command == ("a", "b c")
    backend, guest = loaded.bind("one", {"guest.memory": "256MiB", "backends.two.options.seed": 2})
    assert backend.options == backend.options_model()
    assert (guest.cpus, guest.memory, guest.env) == (2, 256 * 2**20, {"A": "1"})


def test_the_model_alone_refuses_a_name_that_stands_twice() -> None:
    with pytest.raises(ValidationError, match="each name stands once"):
        Experiment.model_validate_json('{"name": "a", "backends": ["a", "a"], "metrics": ["startup"]}')


def test_the_same_levels_give_the_same_objects() -> None:
    loaded = load(SWEPT)
    one = loaded.bind("two", {"guest.memory": "256MiB", "backends.two.options.seed": 1})
    other = loaded.bind("two", {"guest.memory": "512MiB", "backends.two.options.seed": 1})
    again = loaded.bind("two", {"guest.memory": "256MiB", "backends.two.options.seed": 1})
    assert one[0] is other[0] is again[0]
    assert one[1] is again[1]
    assert one[1] != other[1]
