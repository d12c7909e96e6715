"""A service in the foreground, as systemd or Kubernetes runs one, and two questions that it should always answer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from support.commands import environment
from support.processes import Process, find_session

from athanor.contract.contract import Contract
from athanor.home import Home
from athanor.release.files import REFERENCE_ROWS
from athanor.release.store import ReleaseStore
from athanor.serving.setup.names import name_service
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.ports import find_free_ports

REPLICA: Final = "ServeReplica"
_START_S: Final = 180.0
_STOP_S: Final = 90.0
_POLL_S: Final = 0.02
_PROBE_S: Final = 5.0


@dataclass(frozen=True)
class Questions:
    """Requests that keep the contract, for both typed doors.

    Attributes:
        method: path of the gRPC method.
        path: of the REST door.
        rows: of the release's reference, as JSON.
    """

    contract: Contract
    rows: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, model: str, home: Home) -> Questions:
        """Returns requests with the champion's reference rows."""
        store = ReleaseStore(home.store)
        release = store.read(model, store.read_traffic(model).require_champion().digest)
        return cls(release.contract, release.json(REFERENCE_ROWS)["rows"])

    @property
    def model(self) -> str:
        return self.contract.name

    @property
    def method(self) -> str:
        predict = self.contract.predict
        return f"/{predict.containing_service.full_name}/{predict.name}"

    @property
    def path(self) -> str:
        return f"/v1/models/{self.model}:predict"

    def json(self, count: int = 1) -> bytes:
        return json.dumps({self.contract.rows_field.name: self._take(count)}).encode()

    def message(self, count: int = 1) -> bytes:
        request: Message = GetMessageClass(self.contract.predict.input_type)()
        json_format.ParseDict({self.contract.rows_field.name: self._take(count)}, request)
        return request.SerializeToString()

    def _take(self, count: int) -> list[dict[str, Any]]:
        return [self.rows[number % len(self.rows)] for number in range(count)]


class Service:
    """`serve run` on free ports; `start` again after it has ended."""

    def __init__(
        self, questions: Questions, home: Home, flags: Sequence[str] = (), models: Sequence[str] | None = None
    ) -> None:
        """Args: models: names or patterns; by default the model of the questions."""
        self.questions = questions
        self.http_port = find_free_ports(2)
        self._models = (questions.model,) if models is None else models
        self._home = home
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def grpc_port(self) -> int:
        return self.http_port + 1

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the service was not started")
        return self._process

    @property
    def token(self) -> str:
        return ServicePaths(self._home.service, name_service(self._models)).token.read_text().strip()

    def start(self) -> None:
        """Starts it, and returns when both doors answer. Raises RuntimeError if they do not."""
        command = [sys.executable, "-m", "athanor.cli.serving.app", "run", *self._models]
        command += [f"--http-port={self.http_port}", f"--grpc-port={self.grpc_port}", *self._flags]
        with (self._home.path / "service.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(), "ATHANOR_HOME": str(self._home.path)},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self.answers():
            if time.monotonic() > deadline or self.status() is not None:
                raise RuntimeError(f"the service did not start:\n{self.log()[-3000:]}")
            time.sleep(_POLL_S)

    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._started.poll()

    def log(self) -> str:
        return (self._home.path / "service.log").read_text(errors="replace")

    def stop(self) -> None:
        """Sends SIGTERM, then kills the rest of its session."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        for process in find_session(self.pid):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self._process.wait()

    def find(self, name: str) -> set[Process]:
        """Its processes whose command has a name in it."""
        return {process for process in find_session(self.pid) if name in process.command}

    def replica_mib(self) -> float:
        """Resident memory of its replicas, in MiB."""
        return sum(_resident_kib(process.pid) for process in self.find(REPLICA)) / 1024

    def post(self, path: str, body: bytes, timeout_s: float, headers: dict[str, str] | None = None) -> tuple[int, int]:
        """Status and length of a REST answer. Raises OSError or HTTPException where there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        try:
            sent = {"authorization": f"Bearer {self.token}", "content-type": "application/json", **(headers or {})}
            connection.request("POST", path, body, sent)
            response = connection.getresponse()
            return response.status, len(response.read())
        finally:
            connection.close()

    def is_live(self, timeout_s: float = _PROBE_S) -> bool:
        """Whether `/livez` answers in time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def answers(self, timeout_s: float = _PROBE_S) -> bool:
        """Whether both typed doors answer a row in time."""
        try:
            if self.post(self.questions.path, self.questions.json(), timeout_s)[0] != http.HTTPStatus.OK:
                return False
            with self.channel() as channel:
                call: Any = channel.unary_unary(self.questions.method, None, None)
                call(self.questions.message(), timeout=timeout_s, metadata=self.metadata)
        except (OSError, http.client.HTTPException, grpc.RpcError):
            return False
        return True

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(
            f"127.0.0.1:{self.grpc_port}",
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)],
        )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


@contextmanager
def running_service(
    questions: Questions, home: Home, flags: Sequence[str] = (), models: Sequence[str] | None = None
) -> Iterator[Service]:
    """A service that answers, until the context ends."""
    service = Service(questions, home, flags, models)
    try:
        service.start()
        yield service
    finally:
        service.stop()


def _resident_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
