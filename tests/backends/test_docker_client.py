"""Options, contexts and the client's errors, as far as they need no engine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import requests
from docker.errors import APIError, DockerException
from pydantic import ValidationError

from vmvc.backends.docker_client import DockerOptions, Unreachable, _target, reached_at, socket_of, translated
from vmvc.errors import CleanupError, DeadlineExceeded, EngineError, ImageError, StepFailed, VmvcError


@pytest.mark.parametrize(
    ("address", "path", "host"),
    [
        ("unix:///var/run/docker.sock", "/var/run/docker.sock", None),
        ("tcp://localhost:2375", None, None),
        ("tcp://127.0.0.1:2375", None, None),
        ("tcp://[::1]:2375", None, None),
        ("tcp://lab-3:2376", None, "lab-3"),
        ("https://10.0.0.7:2376", None, "10.0.0.7"),
        ("ssh://me@lab-3", None, "lab-3"),
    ],
)
def test_where_an_engine_is(address: str, path: str | None, host: str | None) -> None:
    assert socket_of(address) == path
    assert reached_at(address) == host


@pytest.mark.parametrize(
    "options",
    [
        {"host": "/var/run/docker.sock"},
        {"host": "unix://"},
        {"host": "tcp://a b"},
        {"host": "unix:///a", "context": "b"},
        {"context": "../b"},
        {"context": ""},
        {"runtime": "--privileged"},
        {"runtime": "a b"},
        {"network": ""},
        {"network": "container:x"},
        {"memory": "1GiB"},
    ],
)
def test_options_that_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        DockerOptions.model_validate(options)


def _context(folder: Path, name: str, meta: object) -> Path:
    identity = hashlib.sha256(name.encode()).hexdigest()
    file = folder / "contexts/meta" / identity / "meta.json"
    file.parent.mkdir(parents=True)
    file.write_text(meta if isinstance(meta, str) else json.dumps(meta))
    return folder / "contexts/tls" / identity / "docker"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_context_brings_its_certificates(config: Path) -> None:
    tls = _context(
        config, "lab", {"Endpoints": {"docker": {"Host": "tcp://lab:2376", "SkipTLSVerify": False}}}
    )
    tls.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tls / name).write_text("x")
    target = _target(DockerOptions(context="lab"))
    assert target["base_url"] == "tcp://lab:2376"
    assert target["tls"].cert == (str(tls / "cert.pem"), str(tls / "key.pem"))
    assert target["tls"].ca_cert == str(tls / "ca.pem")
    assert target["tls"].verify is True


@pytest.mark.parametrize(
    "meta", ["no json", "{}", '{"Endpoints": {"docker": {}}}', '{"Endpoints": []}', "[]"]
)
def test_a_context_that_is_broken(config: Path, meta: str) -> None:
    _context(config, "lab", meta)
    with pytest.raises(Unreachable, match="no usable Docker context 'lab'") as failed:
        _target(DockerOptions(context="lab"))
    assert failed.value.code == "docker.context"


@pytest.mark.parametrize("text", ["no json", "[]"])
def test_a_configuration_that_is_broken(config: Path, text: str) -> None:
    (config / "config.json").write_text(text)
    with pytest.raises(Unreachable, match=r"config\.json"):
        _target(DockerOptions())


def _refusal(said: str, status: int = 500) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError("refused", response=response, explanation=said)


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("Bind for 127.0.0.1:80 failed: port is already allocated", StepFailed, "free the port"),
        ("No such image: x", ImageError, "vmvc image build"),
        ('Conflict. The container name "/x" is already in use by container "y"', StepFailed, "vmvc clean"),
        ("OCI runtime create failed: exec /x: exec format error: unknown", StepFailed, "architecture"),
        ("write /var/lib/docker: no space left on device", StepFailed, "docker system df"),
        (
            "adding interface veth0 to bridge docker0 failed: could not find bridge docker0",
            StepFailed,
            "restart it",
        ),
        ("something that nobody has seen", StepFailed, "log of the Docker Engine"),
    ],
)
def test_what_the_engine_says_becomes_an_error_with_a_remedy(
    said: str, kind: type[VmvcError], hint: str
) -> None:
    with (
        pytest.raises(kind, match="Docker would not start the container: ") as failed,
        translated("start the container"),
    ):
        raise _refusal(said)
    assert said in failed.value.what
    assert hint in failed.value.hint
    assert failed.value.__cause__ is not None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.ReadTimeout("x"), DeadlineExceeded),
        (requests.ConnectTimeout("x"), EngineError),
        (requests.ConnectionError("x"), EngineError),
        (DockerException("x"), EngineError),
    ],
)
def test_an_engine_that_does_not_answer(error: Exception, kind: type[VmvcError]) -> None:
    with pytest.raises(kind), translated("stop the container"):
        raise error


def test_the_caller_chooses_the_kind_of_a_refusal() -> None:
    with pytest.raises(CleanupError), translated("remove the container", failure=CleanupError):
        raise _refusal("driver failed to remove root filesystem")


def test_faults_of_our_own_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), translated("count"):
        raise ZeroDivisionError
