"""Load from `h2load`, which is not Python: gRPC as prepared HTTP/2 bodies, REST as HTTP/1.1."""

from __future__ import annotations

import enum
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_OK: Final = 200
_PACED_CLIENTS: Final = 8
_FEW: Final = 2
_WHILE_ALL_ASK: Final = 0.9
# A response to another question, or to none, has another length. Digits of a number may differ a little.
_MOST_BYTES: Final = 1.02
_GRACE_S: Final = 60.0


class Protocol(enum.Enum):
    """Protocol of a door, with h2load's options for it."""

    GRPC = ("--header=content-type: application/grpc", "--header=te: trailers")
    HTTP = ("--h1", "--header=content-type: application/json")


@dataclass(frozen=True)
class Target:
    """One request to one door.

    Attributes:
        body: file of what is sent, for gRPC with the five bytes before a message.
        response_bytes: length of the body of the right answer.
    """

    url: str
    protocol: Protocol
    body: Path
    response_bytes: int


@dataclass(frozen=True)
class Answered:
    """What a load saw.

    Attributes:
        starts_s, latencies_s: of each request, in the order of their ends; starts since 1970.
    """

    starts_s: NDArray[np.float64]
    latencies_s: NDArray[np.float64]

    @property
    def per_s(self) -> float:
        """Requests per second from the first answer on, as long as all clients still ask."""
        ends = np.sort(self.starts_s + self.latencies_s)
        ends = ends[: max(2, round(len(ends) * _WHILE_ALL_ASK))]
        return float((len(ends) - 1) / (ends[-1] - ends[0]))

    def quantile_s(self, share: float) -> float:
        return float(np.quantile(self.latencies_s, share))


def demand_h2load() -> None:
    """Raises RuntimeError unless the load generator is there."""
    if shutil.which("h2load") is None:
        raise RuntimeError("h2load is not installed; on Debian it comes with `apt-get install nghttp2-client`")


def press(target: Target, clients: int, seconds: float) -> Answered:
    """Load from `clients` clients for about `seconds`; each sends its next request as soon as it has an answer.

    The number of requests is fixed, from how fast a few were answered, so that none is given up at the end: MLServer
    loses all requests of a batch if one caller cancels.

    Raises:
        RuntimeError: a request failed, or was answered by something of another length than the right answer.
    """
    few = _run(target, [_count(clients, _FEW * clients)])
    return _run(target, [_count(clients, max(_FEW * clients, round(few.per_s * seconds)))])


def press_many(target: Target, others: Sequence[str], clients: int, seconds: float, header: str) -> Answered:
    """As `press`, but each client asks the other URLs in turn as well, and begins with another one than the rest.

    Args:
        header: a further one of each request.
    """
    # A process each: clients of one process begin with the same URL, and would keep step.
    first = [round(client * len(others) / clients) for client in range(clients)]
    options = f"--duration={round(seconds * 1e3)}ms", f"--header={header}"
    return _run(target, [(*options, *others[n:], *others[:n]) for n in first])


def _count(clients: int, requests: int) -> Sequence[str]:
    return f"--clients={clients}", f"--requests={requests}"


def pace(target: Target, per_s: float, seconds: float, seed: int) -> Answered:
    """Load at a fixed rate: clients send at even, staggered intervals, whether or not earlier requests wait.

    A client of HTTP/1.1 has one request under way at a time, and asks late if it is answered late.

    Raises:
        RuntimeError: as `press`.
    """
    clients = _PACED_CLIENTS if target.protocol is Protocol.GRPC else 4 * _PACED_CLIENTS
    interval_ms = 1_000 * clients / per_s
    count = max(2, int(seconds * 1_000 / interval_ms))
    draw = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for client in range(clients):
            script = Path(folder, str(client))
            begin_ms = draw.random() * interval_ms
            script.write_text("".join(f"{begin_ms + n * interval_ms:.3f}\t{target.url}\n" for n in range(count)))
            streams = "100" if target.protocol is Protocol.GRPC else "1"
            runs.append((f"--timing-script-file={script}", f"--max-concurrent-streams={streams}"))
        return _run(target, runs)


def _run(target: Target, runs: Sequence[Sequence[str]]) -> Answered:
    """Runs h2load, once for each of the given options and all at once."""
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, str(number)) for number in range(len(runs))]
        common = ["h2load", "--threads=1", f"--data={target.body}", *target.protocol.value]
        processes = [
            subprocess.Popen(
                [*common, f"--log-file={log}", *options, target.url],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for log, options in zip(logs, runs, strict=True)
        ]
        try:
            said = [process.communicate(timeout=_GRACE_S)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        for text in said:
            _check(text, target)
        lines = [line.split("\t") for log in logs for line in log.read_text().splitlines()]
    if not lines:
        raise RuntimeError(f"{target.url} answered nothing:\n{said[0]}")
    starts, codes, latencies = (np.array(column, dtype=np.float64) for column in zip(*lines, strict=True))
    if bad := int(np.count_nonzero(codes != _OK)):
        raise RuntimeError(f"{target.url} did not answer {bad} of {len(codes)} requests by {_OK}")
    return Answered(starts / 1e6, latencies / 1e6)


def _check(text: str, target: Target) -> None:
    """A gRPC error is an HTTP 200 with an empty body: the number of received bytes shows that there was none."""
    requests = re.search(r"requests: .* (\d+) done, (\d+) succeeded", text)
    received = re.search(r"\((\d+)\) data$", text, re.MULTILINE)
    if requests is None or received is None:
        raise RuntimeError(f"h2load of {target.url} failed:\n{text}")
    done, succeeded, size = int(requests[1]), int(requests[2]), int(received[1])
    expected = done * target.response_bytes
    if succeeded < done or not expected / _MOST_BYTES <= size <= expected * _MOST_BYTES:
        raise RuntimeError(
            f"{target.url} gave {succeeded} answers with {size} bytes to {done} requests; the right answer has "
            f"{target.response_bytes} bytes"
        )
