"""Large requests at both doors at once: seconds of work, which a service must finish before it goes."""

import http.client
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final

import grpc
from google.protobuf import json_format
from integration.service import PROJECT, Service

from delays.v1 import delays_pb2, delays_pb2_grpc

# As many at each door as were seen cut, within the limit of rows that a replica holds.
_AT_EACH_DOOR: Final = 4
_ROWS: Final = 5_000
_TIMEOUT_S: Final = 120.0


class Burst:
    """Requests that our client does not retry, answered or not when the context ends.

    Attributes:
        ended: what became of each: its door, and "answered" or the error.
    """

    def __init__(self, service: Service, rows: Sequence[delays_pb2.Flight]) -> None:
        self._service = service
        flights = [rows[i % len(rows)] for i in range(_ROWS)]
        self._request = delays_pb2.PredictRequest(flights=flights)
        self._body = json_format.MessageToJson(self._request, indent=None).encode()
        self._threads = [
            threading.Thread(target=ask) for ask in (self._ask_grpc, self._ask_rest) for _ in range(_AT_EACH_DOOR)
        ]
        self.ended: list[tuple[str, str]] = []

    @property
    def in_flight(self) -> int:
        return len(self._threads) - len(self.ended)

    @property
    def cut(self) -> list[tuple[str, str]]:
        return [each for each in self.ended if each[1] != "answered"]

    def __enter__(self) -> "Burst":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for thread in self._threads:
            thread.join()

    def wait_for_first(self) -> None:
        """Returns when one request was answered: the others have arrived, and wait for their turn."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not self.ended:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def _ask_grpc(self) -> None:
        options = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(self._service.grpc, options) as channel:
            stub = delays_pb2_grpc.DelaysServiceStub(channel)
            try:
                answer = stub.Predict(self._request, timeout=_TIMEOUT_S, metadata=(self._service.authorization,))
                self.ended.append(("gRPC", "answered" if len(answer.predictions) == _ROWS else "torn"))
            except grpc.RpcError as error:
                self.ended.append(("gRPC", str(error)))

    def _ask_rest(self) -> None:
        connection = http.client.HTTPConnection(self._service.http, timeout=_TIMEOUT_S)
        headers = {"content-type": "application/json", **dict([self._service.authorization])}
        try:
            connection.request("POST", f"/v1/models/{PROJECT}:predict", self._body, headers)
            answer = connection.getresponse()
            answer.read()
            self.ended.append(("REST", "answered" if answer.status == 200 else str(answer.status)))
        except (OSError, http.client.HTTPException) as error:
            self.ended.append(("REST", repr(error)))
        finally:
            connection.close()


class Newcomers:
    """Small requests one after another until the context ends, each on a connection of its own.

    Attributes:
        seen: what became of them: the status, or "refused".
        longest_s: of one request.
    """

    def __init__(self, service: Service) -> None:
        self._address = service.http
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen: set[object] = set()
        self.longest_s = 0.0

    def __enter__(self) -> "Newcomers":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(0.02):
            began = time.monotonic()
            connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
            try:
                connection.request("GET", "/readyz")
                self.seen.add(connection.getresponse().status)
            except (ConnectionError, http.client.RemoteDisconnected):
                self.seen.add("refused")
            finally:
                connection.close()
            self.longest_s = max(self.longest_s, time.monotonic() - began)
