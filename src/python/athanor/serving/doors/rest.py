"""The REST doors: protobuf JSON, the Open Inference Protocol, and what people and machines ask beside predictions."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from athanor.errors import (
    AbandonedError,
    AthanorError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServiceError,
    TooLargeError,
    UnauthenticatedError,
)
from athanor.serving.access.scope import Scope
from athanor.serving.answering.core import Core, Question
from athanor.serving.docs.openapi import build_openapi
from athanor.serving.docs.page.rendering import render_gate, render_page
from athanor.serving.doors.handler import REQUEST_ID, Call, Reception, headers_of, make_request_id
from athanor.serving.formats import inference_json, inference_messages, inspection, typed
from athanor.serving.formats.problems import PROBLEM_MEDIA_TYPE, to_http_status, to_problem
from athanor.serving.setup.settings import ServingSettings
from athanor.version import VERSION

TIMEOUT: Final = "x-request-timeout-s"
_JSON: Final = "application/json"

_logger = logging.getLogger(__name__)


class RestDoors:
    """What the routes of a replica do."""

    def __init__(self, reception: Reception, settings: ServingSettings) -> None:
        self._reception = reception
        self._core: Core = reception.core
        self._settings = settings

    def routes(self) -> list[Route]:
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            _post("/v1/models/{model}:predict", self.predict),
            _post("/v1/models/{model}:features", self.compute_features),
            *(_post(f"{path}/infer", self.infer) for path in (model, version)),
            *(_get(f"{path}/ready", self.model_ready) for path in (model, version)),
            *(_get(path, self.model_metadata) for path in (model, version)),
            _get("/v2", self.server_metadata),
            *(_get(path, self.live) for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")),
            _get("/metrics", self.metrics),
            _get("/openapi.json", self.openapi),
            _get("/docs", self.docs),
        ]

    async def predict(self, request: Request) -> Response:
        call = self._begin(request, "rest")
        answer = await self._reception.answer(call, lambda: self._read_typed(request, call))
        text = json_format.MessageToJson(typed.to_response(self._core, answer, call.request_id), indent=None)
        return Response(text, media_type=_JSON, headers=dict(headers_of(answer, call.request_id)))

    async def compute_features(self, request: Request) -> Response:
        call = self._begin(request, "inspection")
        answer = await self._reception.answer(call, lambda: self._read_typed(request, call))
        seen = inspection.to_json(inspection.inspect(self._core, answer, call.request_id))
        text = json.dumps(seen, allow_nan=False)
        return Response(text, media_type=_JSON, headers=dict(headers_of(answer, call.request_id)))

    async def infer(self, request: Request) -> Response:
        call = self._begin(request, "oip-rest")
        parsed: list[inference_json.InferenceRequest] = []

        async def read() -> Question:
            body = await self._read_body(request)
            self._core.check_model(request.path_params["model"])
            parsed.append(inference_json.parse(body, request.headers.get(inference_json.JSON_LENGTH)))
            version = request.path_params.get("version", "")
            return inference_json.to_question(self._core, parsed[0], version, call.sticky_key)

        answer = await self._reception.answer(call, read)
        content, headers = inference_json.to_body(self._core, answer, parsed[0], call.request_id)
        media_type = "application/octet-stream" if headers else _JSON
        return Response(content, 200, {**headers, **dict(headers_of(answer, call.request_id))}, media_type)

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def server_metadata(self, request: Request) -> Response:
        self._require(request, Scope.PREDICT)
        return JSONResponse(
            {"name": inference_messages.SERVER, "version": VERSION, "extensions": ["binary_tensor_data"]}
        )

    async def model_ready(self, request: Request) -> Response:
        self._require(request, Scope.PREDICT)
        model, version = request.path_params["model"], request.path_params.get("version", "")
        if not inference_messages.is_ready(self._core, model, version):
            raise ModelNotFoundError(f"{model} {version} is not served here".replace("  ", " "))
        return JSONResponse({"name": model, "ready": True})

    async def model_metadata(self, request: Request) -> Response:
        self._require(request, Scope.PREDICT)
        model, version = request.path_params["model"], request.path_params.get("version", "")
        return JSONResponse(inference_messages.describe(self._core, model, version))

    async def metrics(self, request: Request) -> Response:
        self._require(request, Scope.PREDICT)
        content, media_type = await asyncio.to_thread(self._reception.telemetry.render_metrics)
        return Response(content, headers={"content-type": media_type})

    async def openapi(self, request: Request) -> Response:
        self._require(request, Scope.PREDICT)
        return JSONResponse(build_openapi(self._core.contract, self._versions(), self._core.max_rows))

    async def docs(self, request: Request) -> Response:
        try:
            self._require(request, Scope.PREDICT)
            page = render_page(self._core.contract, self._versions(), self._core.max_rows)
        except (PermissionDeniedError, UnauthenticatedError):
            # A browser opens an address without a token.
            page = render_gate()
        return HTMLResponse(page, headers={"content-security-policy": "frame-ancestors 'none'"})

    def _versions(self) -> list[str]:
        return sorted({variant.semantic_version for variant in self._core.traffic.answering})

    def _require(self, request: Request, scope: Scope) -> None:
        self._reception.require(request.headers.get("authorization"), scope)

    def _begin(self, request: Request, door: str) -> Call:
        most_s = self._settings.max_deadline_s
        call = Call.read(door, request.headers, min(_timeout_s(request) or most_s, most_s))
        # A refusal names the request as metrics and logs do.
        request.state.request_id = call.request_id
        return call

    async def _read_body(self, request: Request) -> bytes:
        _check_timeout(request)
        most = self._settings.max_message_bytes
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise TooLargeError(f"the body has more than {most} bytes, which is the most")
        except ClientDisconnect:
            raise AbandonedError("the caller went away before the request was read") from None
        return bytes(body)

    async def _read_typed(self, request: Request, call: Call) -> Question:
        """The question in the body, which asks the model in the path."""
        message = typed.parse_json(self._core, await self._read_body(request))
        message.model_name = request.path_params["model"]
        return typed.to_question(self._core, message, call.sticky_key)


def _timeout_s(request: Request) -> float | None:
    """Seconds that the caller wants to wait; None where it says none that can be."""
    try:
        seconds = float(request.headers.get(TIMEOUT, ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


def _check_timeout(request: Request) -> None:
    given = request.headers.get(TIMEOUT)
    if given is not None and _timeout_s(request) is None:
        raise InvalidRequestError(f"{TIMEOUT} is {given[:100]!r}; give seconds above 0")


_Answer = Callable[[Request], Awaitable[Response]]


def _get(path: str, answer: _Answer) -> Route:
    return Route(path, answer, methods=["GET"])


def _post(path: str, answer: _Answer) -> Route:
    return Route(path, answer, methods=["POST"])


def build_rest(
    reception: Reception, settings: ServingSettings, lifespan: Lifespan[Starlette] | None = None
) -> Starlette:
    """The web application of one model. Its health endpoints answer 200 as soon as it exists: it is made when ready.

    Args:
        lifespan: entered when the application starts.
    """
    return Starlette(
        routes=RestDoors(reception, settings).routes(),
        lifespan=lifespan,
        exception_handlers={
            AthanorError: _refuse,
            HTTPException: _refuse_http,
            Exception: _fail,
        },
    )


def _request_id(request: Request) -> str:
    if not hasattr(request.state, "request_id"):
        request.state.request_id = make_request_id(request.headers.get(REQUEST_ID))
    return str(request.state.request_id)


async def _refuse(request: Request, error: Any) -> Response:
    id_ = _request_id(request)
    headers = {REQUEST_ID: id_}
    if isinstance(error, OverloadedError):
        headers["retry-after"] = f"{max(1, round(error.retry_after_s))}"
    if to_http_status(error) == 401:
        headers["www-authenticate"] = "Bearer"
    body = json.dumps(to_problem(error, id_))
    return Response(body, to_http_status(error), headers, PROBLEM_MEDIA_TYPE)


async def _fail(request: Request, error: Exception) -> Response:
    return await _refuse(request, ServiceError("the service failed; its log tells more"))


async def _refuse_http(request: Request, error: Any) -> Response:
    """What the web framework refuses by itself: unknown paths and methods."""
    id_ = _request_id(request)
    problem = {
        "type": "about:blank",
        "title": error.detail,
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {error.detail}",
        "error": error.detail,
        "request_id": id_,
    }
    headers = {**(error.headers or {}), REQUEST_ID: id_}
    return Response(json.dumps(problem), error.status_code, headers, PROBLEM_MEDIA_TYPE)
