"""A server that answers wrongly is not timed, and one that begins to while it is timed stops the run."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from projects.flight_delay.model import MODEL
from serving.comparison.contenders import Contender, Kind
from serving.comparison.doors import PEERS_REST
from serving.comparison.load import Protocol, Target, pace, press, press_many
from serving.comparison.measure import open_lane
from serving.comparison.prepare import BATCH, Prepared, demand_equal
from serving.comparison.servers import Server, Site

needs_h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load comes with nghttp2-client on Debian")
RIGHT = np.linspace(0.1, 0.9, BATCH)


@contextmanager
def answering(answer: Callable[[int], list[float]], paths: Counter[str] | None = None) -> Iterator[int]:
    """Runs a server that answers so many rows by a function, at a port. Counts the paths that were asked."""
    asked = Counter[str]() if paths is None else paths

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked[self.path] += 1
            rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
            content = json.dumps(answer(len(rows))).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as http.server names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    frame = pd.DataFrame({"distance": np.arange(BATCH, dtype=np.float32), "carrier": ["UA"] * BATCH})
    prepared = Prepared(MODEL, tmp_path, tmp_path, (), {}, frame, RIGHT)
    return Site(prepared, "", tmp_path)


def contender(start: Callable[[Site], AbstractContextManager[Server]]) -> Contender:
    return Contender("a peer", Kind.AS_INSTALLED, start, (PEERS_REST,))


def server_at(port: int, site: Site) -> Server:
    return Server("a peer", {Protocol.HTTP: port}, site.scratch / "log")


def open_at(port: int, site: Site) -> object:
    server = server_at(port, site)
    return open_lane(contender(partial(_never, server)), PEERS_REST, server, site)


@contextmanager
def _never(server: Server, site: Site) -> Iterator[Server]:
    yield server


def test_right_answers_open_a_lane(site: Site) -> None:
    with answering(lambda count: RIGHT[:count].tolist()) as port:
        open_at(port, site)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda count: [0.5] * count, "answers row 0 with 0.5, expected is 0.1"),
        (lambda count: [*RIGHT[: count - 1], RIGHT[count - 1] + 2e-6], "answers row 0"),
        (lambda count: [float("nan")] * count, "answers row 0 with nan"),
        (lambda count: RIGHT[: count + 1].tolist(), "gives answers of shape"),
        (lambda count: RIGHT[:1].tolist(), "gives answers of shape"),
    ],
    ids=["others", "a little other", "none", "one too many", "of the first row alone"],
)
def test_wrong_answers_stop_the_run(site: Site, answer: Callable[[int], list[float]], words: str) -> None:
    with answering(answer) as port, pytest.raises(RuntimeError, match=words):
        open_at(port, site)


def test_rounding_is_no_difference() -> None:
    demand_equal(RIGHT, RIGHT + 9e-7, "a peer")
    with pytest.raises(RuntimeError, match="row 999"):
        demand_equal(RIGHT, np.append(RIGHT[:-1], RIGHT[-1] + 1.1e-6), "a peer")


def target(port: int, folder: Path, response_bytes: int) -> Target:
    (folder / "body").write_text('{"rows":[1]}')
    return Target(f"http://127.0.0.1:{port}/predict", Protocol.HTTP, folder / "body", response_bytes)


@needs_h2load
def test_load_counts_what_was_answered(tmp_path: Path) -> None:
    with answering(lambda count: [0.25]) as port:
        asked = target(port, tmp_path, len("[0.25]"))
        for answered in (press(asked, 2, 0.2), pace(asked, 100.0, 0.5, seed=0)):
            assert answered.per_s > 0
            assert 0 < answered.quantile_s(0.5) <= answered.quantile_s(0.99)


@needs_h2load
def test_every_url_has_its_share_of_the_load(tmp_path: Path) -> None:
    paths = Counter[str]()
    with answering(lambda count: [0.25], paths) as port:
        asked = target(port, tmp_path, len("[0.25]"))
        answered = press_many(asked, [f"{asked.url}/{name}" for name in "abc"], 2, 0.5, "authorization: Bearer x")
    assert len(answered.latencies_s) <= paths.total()
    assert set(paths) == {"/predict", "/predict/a", "/predict/b", "/predict/c"}


@needs_h2load
def test_answers_of_another_length_stop_the_load(tmp_path: Path) -> None:
    with (
        answering(lambda count: [0.25, 0.5]) as port,
        pytest.raises(RuntimeError, match="the right answer has 6 bytes"),
    ):
        press(target(port, tmp_path, len("[0.25]")), 2, 0.2)


@needs_h2load
def test_a_refusal_stops_the_load(tmp_path: Path) -> None:
    def refuse(count: int) -> list[float]:
        raise ConnectionResetError

    with answering(refuse) as port, pytest.raises(RuntimeError):
        press(target(port, tmp_path, 6), 2, 0.2)
