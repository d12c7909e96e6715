"""Two services on one machine: one model, and many of the same size."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from many.store import name_models, publish
from resilience.service import REPLICA, Questions, Service

from athanor.home import Home
from athanor.release.files import GRAPH, Release
from athanor.release.store import ReleaseStore
from serving.comparison.load import Protocol, Target

MANY: Final = 50
_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.005


@dataclass(frozen=True)
class Site:
    """A service of models that are all alike, and answer one request alike.

    Attributes:
        start_s: from its command to the first answer.
        graph_mib: of each model.
    """

    service: Service
    home: Home
    questions: Sequence[Questions]
    start_s: float
    graph_mib: float

    @property
    def pid(self) -> int:
        """Of its replica."""
        (replica,) = self.service.find(REPLICA)
        return replica.pid

    @property
    def header(self) -> str:
        return f"authorization: Bearer {self.service.token}"

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.service.grpc_port}{each.method}" for each in self.questions]

    def ask(self, questions: Questions, rows: int = 1) -> bytes:
        """Raises grpc.RpcError."""
        with self.service.channel() as channel:
            call: Any = channel.unary_unary(questions.method, None, None)
            answer: bytes = call(questions.message(rows), timeout=_TIMEOUT_S, metadata=self.service.metadata)
            return answer

    def wait(self, questions: Questions) -> None:
        """Returns when a model answers. Raises TimeoutError."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                self.ask(questions)
            except grpc.RpcError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{questions.model} does not answer:\n{self.service.log()[-3000:]}") from None
                time.sleep(_POLL_S)
            else:
                return

    def target(self, folder: Path, rows: int = 1) -> Target:
        """The first model's, for h2load; other models take the same bytes."""
        first = self.questions[0]
        body, answer = first.message(rows), self.ask(first, rows)
        file = folder / f"{rows}.body"
        file.write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
        return Target(self.urls[0], Protocol.GRPC, file, len(answer) + 5)


def make_home(release: Release, count: int, folder: Path) -> Home:
    """A home with so many models that take traffic."""
    home, store = Home(folder), ReleaseStore(Home(folder).store)
    for traffic in publish(release, name_models(0, count), store, folder / "made"):
        store.write_traffic(traffic)
    shutil.rmtree(folder / "made")
    return home


@contextmanager
def running(home: Home, release: Release, count: int) -> Iterator[Site]:
    """A service of all models of a home, until the context ends."""
    questions = [Questions.of(model, home) for model in name_models(0, count)]
    service = Service(questions[-1], home, models=())
    began = time.monotonic()
    try:
        service.start()
        yield Site(service, home, questions, time.monotonic() - began, len(release.files[GRAPH]) / 2**20)
    finally:
        service.stop()
