"""A small service, of flights by default, for a browser: it serves the page, and validates rows without a model."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.contract import Contract
from athanor.contract.messages import to_columns
from athanor.contract.validation import validate
from athanor.errors import (
    AthanorError,
    FieldViolation,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    UnauthenticatedError,
)
from athanor.serving.docs.openapi import DescribedModel
from athanor.serving.docs.page.rendering import render_gate, render_page
from athanor.serving.formats.problems import PROBLEM_MEDIA_TYPE, to_http_status, to_problem
from projects.delays.model import MODEL

TOKEN: Final = "a-token"  # noqa: S105 - of this service alone
DIGEST: Final = 64 * "d"
_FLIGHTS: Final = MODEL.contract
_LATE: Final = {"lateProbability": 0.25}


class _Handler(BaseHTTPRequestHandler):
    """Serves the pages, and predicts the same for every valid row."""

    server: "SmallService"

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        if self.server.is_gated and not self._has_token():
            page = render_gate()
        if page is None:
            self._refuse(NotFoundError(f"there is no {self.path}"))
        else:
            self._send(200, "text/html; charset=utf-8", page.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(json.loads(body))
        if self.server.is_gone:
            return
        try:
            answer = self._predict(body)
        except AthanorError as error:
            self._refuse(error)
        else:
            self._send(200, "application/json", json.dumps(answer).encode())

    def _predict(self, body: bytes) -> dict[str, Any]:
        if not self._has_token():
            raise UnauthenticatedError("there is no token")
        if self.server.is_overloaded:
            raise OverloadedError("there is no room", 7)
        contract = self.server.contract
        request: Any = json_format.Parse(body, GetMessageClass(contract.predict.input_type)())
        rows = contract.rows_field.name
        breaches = validate(contract.columns, to_columns(contract.columns, getattr(request, rows)))
        if breaches:
            found = [violation for breach in breaches for violation in breach]
            violations = (FieldViolation(f"{rows}[0].{v.column.name}", v.rule.value, str(v)) for v in found)
            raise InvalidRequestError("values break the contract", tuple(violations))
        return {
            contract.predictions_field.json_name: [self.server.prediction],
            "modelName": contract.name,
            "semanticVersion": "1.3.0",
            "releaseDigest": DIGEST,
            "requestId": "the-id",
            "variant": "challenger",
        }

    def _refuse(self, error: AthanorError) -> None:
        headers = {"retry-after": "7"} if isinstance(error, OverloadedError) else {}
        problem = json.dumps(to_problem(error, "the-id")).encode()
        self._send(to_http_status(error), PROBLEM_MEDIA_TYPE, problem, headers)

    def _has_token(self) -> bool:
        return self.headers["authorization"] == f"Bearer {TOKEN}"

    def _send(self, status: int, kind: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Logs nothing."""


class SmallService(ThreadingHTTPServer):
    """Listens on a free port.

    Attributes:
        is_gated: whether the page needs a token.
        is_gone: whether requests get no response.
        is_overloaded: whether requests are refused as too many.
        bodies: of all requests.
        contract, prediction: of the model, the latter in JSON.
        pages: by their paths.
    """

    is_gated = False
    is_gone = False
    is_overloaded = False

    def __init__(self, contract: Contract, prediction: Mapping[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[Any] = []
        self.contract, self.prediction = contract, prediction
        self.pages = {"/docs": render_page(DescribedModel(contract, ("1.2.3", "1.3.0")), 10_000)}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/docs"


@contextmanager
def run_small_service(contract: Contract = _FLIGHTS, prediction: Mapping[str, Any] = _LATE) -> Iterator[SmallService]:
    with SmallService(contract, prediction) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
