"""The REST door: protobuf JSON in and out, problem details for errors."""

import json
import uuid
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from google.protobuf import json_format
from starlette.exceptions import HTTPException
from starlette.types import Lifespan

from athanor.errors import AthanorError, InvalidRequestError
from athanor.serving.core import Core
from athanor.serving.inspection import to_json
from athanor.serving.problems import PROBLEM_MEDIA_TYPE, to_http_status, to_problem

REQUEST_ID: Final = "x-request-id"
_JSON: Final = "application/json"


def make_request_id(given: str | None) -> str:
    """The caller's, or a new one."""
    return given or uuid.uuid4().hex


def build_rest(core: Core, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The web application of one model. Its health endpoints answer 200 as soon as it exists: it is made when ready.

    Args:
        lifespan: entered when the application starts.
    """
    app = FastAPI(
        openapi_url=None, lifespan=lifespan, exception_handlers={AthanorError: _refuse, HTTPException: _refuse_http}
    )

    @app.post("/v1/models/{name}:predict")
    async def predict(name: str, request: Request) -> Response:
        answer = core.predict(await _read(core, name, request), _request_id(request))
        return Response(json_format.MessageToJson(answer, indent=None), media_type=_JSON)

    @app.post("/v1/models/{name}:features")
    async def compute_features(name: str, request: Request) -> Response:
        inspection = core.inspect(await _read(core, name, request), _request_id(request))
        return Response(json.dumps(to_json(inspection), allow_nan=False), media_type=_JSON)

    @app.get("/livez")
    @app.get("/readyz")
    async def is_healthy() -> dict[str, str]:
        return {"status": "ok"}

    return app


async def _read(core: Core, name: str, request: Request) -> Any:
    """The message in the body, which asks the model in the path."""
    message = _parse(core, await request.body())
    message.model_name = name
    return message


def _request_id(request: Request) -> str:
    return make_request_id(request.headers.get(REQUEST_ID))


def _parse(core: Core, body: bytes) -> Any:
    try:
        return json_format.Parse(body, core.request_class())
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        name = core.contract.predict.input_type.full_name
        raise InvalidRequestError(f"the body is no {name} in protobuf JSON: {error}") from None


async def _refuse(request: Request, error: Any) -> Response:
    problem = to_problem(error, _request_id(request))
    return Response(json.dumps(problem), to_http_status(error), media_type=PROBLEM_MEDIA_TYPE)


async def _refuse_http(request: Request, error: Any) -> Response:
    """What the web framework refuses by itself: unknown paths and methods."""
    problem = {
        "type": "about:blank",
        "title": error.detail,
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {error.detail}",
        "request_id": _request_id(request),
    }
    return Response(json.dumps(problem), error.status_code, error.headers, PROBLEM_MEDIA_TYPE)
