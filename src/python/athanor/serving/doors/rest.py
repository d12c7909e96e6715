"""The REST doors: protobuf JSON, the Open Inference Protocol, health, metrics, and the documentation page."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from athanor.errors import (
    AbandonedError,
    AthanorError,
    DeadlineExceededError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServiceError,
    UnauthenticatedError,
    UnsupportedEncodingError,
)
from athanor.serving.answering.interface import Question
from athanor.serving.answering.repository import ModelState
from athanor.serving.docs.openapi import DescribedModel, render_openapi
from athanor.serving.docs.page.rendering import render_gate, render_models, render_page
from athanor.serving.doors.handler import REQUEST_ID, Call, Exchange, RequestHandler, headers_of, make_request_id
from athanor.serving.doors.health import Health
from athanor.serving.doors.incoming import SMALL_S, require_small
from athanor.serving.doors.lingering import LingeringResponse
from athanor.serving.doors.models.served import ServedModel
from athanor.serving.formats import inference, inference_json, inspection, repository, typed_json
from athanor.serving.formats.problems import media_type_of, to_http_status, to_problem
from athanor.serving.formats.raw.compression import ENCODINGS, unpacker_of
from athanor.version import VERSION

_JSON: Final = "application/json"
# Refusals for which a body is not read to its end: otherwise a caller could go on sending without an end.
_BODY_UNREAD: Final = (401, 403, 404, 413, 504)


class RestDoors:
    """The routes of a replica."""

    def __init__(self, handler: RequestHandler, health: Health) -> None:
        self._handler = handler
        self._health = health

    def routes(self) -> list[Route]:
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            _post("/v1/models/{model}:predict", self.predict),
            _post("/v1/models/{model}:features", self.compute_features),
            *(_post(f"{path}/infer", self.infer) for path in (model, version)),
            *(_get(f"{path}/ready", self.model_ready) for path in (model, version)),
            *(_get(path, self.model_metadata) for path in (model, version)),
            _get("/v2", self.server_metadata),
            _post("/v2/repository/index", self.list_models),
            _post("/v2/repository/models/{model}/load", self.load_model),
            _post("/v2/repository/models/{model}/unload", self.unload_model),
            *(_get(path, self.live) for path in ("/livez", "/v2/health/live")),
            *(_get(path, self.ready) for path in ("/readyz", "/v2/health/ready")),
            _get("/metrics", self.metrics),
            _get("/openapi.json", self.openapi),
            *(_get(path, self.docs) for path in ("/docs", "/docs/{model}")),
        ]

    async def predict(self, request: Request) -> Response:
        call = _read_call(request, "rest")
        with self._handler.admit(call, _model_of(request)) as exchange:
            answer = await exchange.answer(await self._read_rows(request, call, exchange))
            text = await exchange.take_turns(typed_json.write(exchange.model.interface, answer, call.request_id))
            return self._respond(call, text, _JSON, headers_of(answer, call.request_id))

    async def compute_features(self, request: Request) -> Response:
        call = _read_call(request, "inspection")
        with self._handler.admit(call, _model_of(request)) as exchange:
            question = await self._read_rows(request, call, exchange)
            answer = await exchange.answer(replace(question, with_features=True))
            seen = inspection.inspect(exchange.model.interface, answer, call.request_id)
            text = await exchange.take_turns(inspection.to_json(seen))
            return self._respond(call, text, _JSON, headers_of(answer, call.request_id))

    async def infer(self, request: Request) -> Response:
        call = _read_call(request, "oip-rest")
        with self._handler.admit(call, _model_of(request)) as exchange:
            parsed = await self._read_tensors(request, call, exchange)
            answer = await exchange.answer(parsed.question)
            work = inference_json.to_body(exchange.model.interface, answer, parsed, call.request_id)
            content, headers = await exchange.take_turns(work)
            media_type = "application/octet-stream" if headers else _JSON
            return self._respond(call, content, media_type, (*headers.items(), *headers_of(answer, call.request_id)))

    async def live(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"}) if self._health.is_serving else JSONResponse({"status": "draining"}, 503)

    async def server_metadata(self, request: Request) -> Response:
        self._require_token(request)
        return JSONResponse({"name": inference.SERVER, "version": VERSION, "extensions": inference.EXTENSIONS})

    async def model_ready(self, request: Request) -> Response:
        model, version = _model_of(request), _version_of(request)
        self._require_token(request, model=model)
        if not self._handler.models.is_ready(model, version):
            raise ModelNotFoundError(f"{model} {version} is not served here".replace("  ", " "))
        return JSONResponse({"name": model, "ready": True})

    async def model_metadata(self, request: Request) -> Response:
        model = _model_of(request)
        self._require_token(request, model=model)
        return JSONResponse(inference.describe(self._handler.models.find(model).core.traffic, _version_of(request)))

    async def metrics(self, request: Request) -> Response:
        self._require_token(request, "metrics")
        content, media_type = await asyncio.to_thread(self._handler.telemetry.render_metrics)
        return Response(content, headers={"content-type": media_type})

    async def list_models(self, request: Request) -> Response:
        self._require_token(request)
        ready_only = repository.read_index_body(await _read_small(request))
        return JSONResponse(repository.list_models(self._list_states(request), ready_only))

    async def load_model(self, request: Request) -> Response:
        model = _model_of(request)
        self._require_token(request, "repository", model)
        repository.check_parameters(repository.read_parameters(await _read_small(request)))
        await self._handler.load(model)
        return JSONResponse({})

    async def unload_model(self, request: Request) -> Response:
        model = _model_of(request)
        self._require_token(request, "repository", model)
        # `unload_dependents` changes nothing: no model depends on another.
        repository.read_parameters(await _read_small(request))
        await self._handler.unload(model)
        return JSONResponse({})

    async def openapi(self, request: Request) -> Response:
        self._require_token(request)
        named = request.query_params.get("model")
        models = self._describe_all(request) if named is None else (self._describe(request, named),)
        content = await asyncio.to_thread(render_openapi, models, self._handler.settings.max_rows)
        return Response(content, media_type=_JSON)

    async def docs(self, request: Request) -> Response:
        try:
            self._require_token(request)
            page = self._render_docs(request)
        except (PermissionDeniedError, UnauthenticatedError):
            # A browser opens an address without a token.
            page = render_gate()
        return HTMLResponse(page, headers={"content-security-policy": "frame-ancestors 'none'"})

    def _render_docs(self, request: Request) -> str:
        """The page of the model in the path, or of the only one; else their list."""
        models, settings = self._describe_all(request), self._handler.settings
        failures = {state.name: state.reason for state in self._list_states(request) if state.reason}
        is_list = len(models) != 1 or bool(failures.keys() - {models[0].name})
        if named := request.path_params.get("model"):
            return render_page(self._describe(request, named), settings.max_rows, has_others=is_list)
        if is_list:
            return render_models(settings.service, models, failures, settings.max_rows)
        return render_page(models[0], settings.max_rows)

    def _describe_all(self, request: Request) -> tuple[DescribedModel, ...]:
        """The models that the caller may ask."""
        handler, authorization = self._handler, request.headers.get("authorization")
        return tuple(map(_describe, (m for m in handler.models if handler.allows(authorization, "rest", m.name))))

    def _describe(self, request: Request, name: str) -> DescribedModel:
        """Raises ModelNotFoundError, or PermissionDeniedError if the caller may not ask this model."""
        self._require_token(request, model=name)
        return _describe(self._handler.models.find(name))

    def _list_states(self, request: Request) -> list[ModelState]:
        return self._handler.list_states(request.headers.get("authorization"), "rest")

    def _require_token(self, request: Request, door: str = "rest", model: str | None = None) -> None:
        self._handler.require_token(request.headers.get("authorization"), door, model)

    def _respond(
        self, call: Call, content: str | bytes, media_type: str, headers: Iterable[tuple[str, str]]
    ) -> Response:
        unread, timeout_s = self._handler.unread, self._handler.settings.max_deadline_s
        return unread.respond(content, media_type, dict(headers), call.authorization or "", timeout_s)

    async def _read_rows(self, request: Request, call: Call, exchange: Exchange) -> Question:
        """The question in the body, for the model in the path."""
        body = await _read_body(request, exchange)
        return await exchange.take_turns(typed_json.read(exchange.model.interface, body, call.sticky_key))

    async def _read_tensors(self, request: Request, call: Call, exchange: Exchange) -> inference_json.InferenceRequest:
        body, length = await _read_body(request, exchange), request.headers.get(inference_json.JSON_LENGTH)
        return await exchange.take_turns(
            inference_json.read(exchange.model.interface, body, length, _version_of(request), call.sticky_key)
        )


def _read_call(request: Request, door: str) -> Call:
    call = Call.read(door, request.headers)
    # A refusal names the request as metrics and logs do.
    request.state.request_id = call.request_id
    return call


async def _read_body(request: Request, exchange: Exchange) -> bytes:
    """The body, unpacked, once it has arrived in whole: not after the deadline, and never more of it than allowed."""
    unpacker = unpacker_of(request.headers.get("content-encoding"))
    body, packed_bytes = bytearray(), 0
    try:
        async with exchange.arriving():
            async for chunk in request.stream():
                packed_bytes += len(chunk)
                for part in unpacker.unpack(chunk) if unpacker else (chunk,):
                    exchange.receive(len(part), packed_bytes)
                    body += part
                    if unpacker:
                        await asyncio.sleep(0)
    except ClientDisconnect:
        raise AbandonedError("the caller went away before the request was read") from None
    if unpacker:
        unpacker.end()
    return bytes(body)


async def _read_small(request: Request) -> bytes:
    """A body of a few bytes. It takes no room of others'. Raises TooLargeError above 4 KiB."""
    body = bytearray()
    try:
        async with asyncio.timeout(SMALL_S):
            async for chunk in request.stream():
                require_small(len(body) + len(chunk))
                body += chunk
    except ClientDisconnect:
        raise AbandonedError("the caller went away before the request was read") from None
    except TimeoutError:
        raise DeadlineExceededError(f"the body did not arrive within {SMALL_S:g} s; send it faster") from None
    return bytes(body)


def _describe(model: ServedModel) -> DescribedModel:
    traffic = model.core.traffic
    return DescribedModel(traffic.described, tuple(traffic.versions))


def _model_of(request: Request) -> str:
    return str(request.path_params["model"])


def _version_of(request: Request) -> str:
    """The version in the path; empty without one."""
    return str(request.path_params.get("version", ""))


_Answer = Callable[[Request], Awaitable[Response]]


def _get(path: str, answer: _Answer) -> Route:
    return Route(path, answer, methods=["GET"])


def _post(path: str, answer: _Answer) -> Route:
    return Route(path, answer, methods=["POST"])


def build_rest(handler: RequestHandler, health: Health, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """The web application of a replica.

    Args:
        lifespan: entered when the application starts, left when it stops.
    """
    app = Starlette(
        routes=RestDoors(handler, health).routes(),
        lifespan=lifespan,
        exception_handlers={
            AthanorError: _refuse,
            HTTPException: _refuse_http,
            Exception: _fail,
        },
    )
    # It would redirect a path with a slash too many to any host that the caller names.
    app.router.redirect_slashes = False
    return app


def _request_id(request: Request) -> str:
    if not hasattr(request.state, "request_id"):
        request.state.request_id = make_request_id(request.headers.get(REQUEST_ID))
    return str(request.state.request_id)


async def _refuse(request: Request, error: Any) -> Response:
    id_ = _request_id(request)
    headers = {REQUEST_ID: id_}
    if isinstance(error, OverloadedError):
        headers["retry-after"] = f"{max(1, round(error.retry_after_s))}"
    if isinstance(error, UnsupportedEncodingError):
        headers["accept-encoding"] = ENCODINGS
    if to_http_status(error) == 401:
        headers["www-authenticate"] = "Bearer"
    body, media_type = json.dumps(to_problem(error, id_)), media_type_of(request.scope["path"])
    if to_http_status(error) in _BODY_UNREAD:
        return LingeringResponse(request, body, to_http_status(error), headers, media_type)
    return Response(body, to_http_status(error), headers, media_type)


async def _fail(request: Request, error: Exception) -> Response:
    return await _refuse(request, ServiceError("the service failed; its log has the cause"))


async def _refuse_http(request: Request, error: Any) -> Response:
    """Refusals of the web framework itself: unknown paths and methods."""
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
    return Response(json.dumps(problem), error.status_code, headers, media_type_of(request.scope["path"]))
