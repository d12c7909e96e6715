"""Every door, with a token of every scope and without one: who may use it. docs/access.md has the same table."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf import json_format
from support.flights import make_columns, make_flight
from support.grpc_server import (
    ALIVE,
    FEATURES,
    HEALTH,
    INSPECTION,
    METADATA,
    OIP,
    PREDICT,
    REFLECTIONS,
    REQUEST,
    TENSORS,
    GrpcServer,
)
from support.handlers import OpenHandler, open_handler
from support.rest import RestClient
from support.tensors import to_json

from athanor.serving.access.scope import Scope, find_scope
from athanor.serving.access.token_file import make_token, revoke_token
from athanor.serving.answering.core import Core
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from inference import open_inference_pb2 as oip

_FLIGHTS: Final = {"flights": [json_format.MessageToDict(make_flight(distance=1_000))]}
_ANY: Final = frozenset[Scope | None]([None, *Scope])
_PREDICTING: Final = frozenset[Scope | None]([Scope.PREDICT, Scope.ADMIN])
_SCRAPING: Final = frozenset[Scope | None]([Scope.METRICS, Scope.ADMIN])
_ADMIN: Final = frozenset[Scope | None]([Scope.ADMIN])

# Every path, what is posted to it, and which scopes open it; None is a caller without a token.
_REST: Final[tuple[tuple[str, Any, frozenset[Scope | None]], ...]] = (
    ("/v1/models/{model}:predict", _FLIGHTS, _PREDICTING),
    ("/v1/models/{model}:features", _FLIGHTS, _ADMIN),
    ("/v2/models/{model}/infer", to_json(make_columns(3)), _PREDICTING),
    ("/v2/models/{model}/versions/{version}/infer", to_json(make_columns(3)), _PREDICTING),
    ("/v2/models/{model}/ready", None, _PREDICTING),
    ("/v2/models/{model}/versions/{version}/ready", None, _PREDICTING),
    ("/v2/models/{model}", None, _PREDICTING),
    ("/v2/models/{model}/versions/{version}", None, _PREDICTING),
    ("/v2", None, _PREDICTING),
    ("/v2/repository/index", {"ready": True}, _PREDICTING),
    ("/v2/repository/models/{model}/load", {"parameters": {}}, _ADMIN),
    ("/v2/repository/models/{model}/unload", {"parameters": {}}, _ADMIN),
    ("/openapi.json", None, _PREDICTING),
    ("/metrics", None, _SCRAPING),
    ("/livez", None, _ANY),
    ("/readyz", None, _ANY),
    ("/v2/health/live", None, _ANY),
    ("/v2/health/ready", None, _ANY),
)
_GRPC: Final[tuple[tuple[str, Any, frozenset[Scope | None]], ...]] = (
    (PREDICT, REQUEST, _PREDICTING),
    (FEATURES, INSPECTION, _ADMIN),
    (f"{OIP}ModelInfer", TENSORS, _PREDICTING),
    *((method, request, _PREDICTING) for method, request in METADATA),
    (f"{OIP}RepositoryIndex", oip.RepositoryIndexRequest(), _PREDICTING),
    (f"{OIP}RepositoryModelUnload", oip.RepositoryModelUnloadRequest(model_name="delays"), _ADMIN),
    *((method, request, _ANY) for method, request in ALIVE),
    (HEALTH, health_pb2.HealthCheckRequest(), _ANY),
)
_PAGES: Final = ("/docs", "/docs/{model}")
_CALLERS: Final = (None, *Scope)


@pytest.fixture
def guarded(core: Core, tmp_path: Path) -> Iterator[OpenHandler]:
    with open_handler(core, tmp_path / "service", insecure=False) as opened:
        yield opened


@pytest.fixture
def client(guarded: OpenHandler) -> RestClient:
    return RestClient(guarded)


@pytest.fixture
def server(closed: GrpcServer, guarded: OpenHandler) -> GrpcServer:
    closed.open(guarded)
    return closed


def _authorization(opened: OpenHandler, caller: Scope | None) -> dict[str, str]:
    return {} if caller is None else {"authorization": f"Bearer {opened.tokens[caller]}"}


def _refused_with(caller: Scope | None) -> tuple[int, grpc.StatusCode]:
    if caller is None:
        return 401, grpc.StatusCode.UNAUTHENTICATED
    return 403, grpc.StatusCode.PERMISSION_DENIED


def _ask(client: RestClient, path: str, body: Any, headers: dict[str, str]) -> Any:
    path = path.format(model="delays", version="1.2.3")
    return client.post(path, content=json.dumps(body), headers=headers) if body else client.get(path, headers=headers)


def test_each_path_is_in_the_table(client: RestClient) -> None:
    assert {route.path for route in client.app.routes} == {*(path for path, *_ in _REST), *_PAGES}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("path", "body", "allowed"), _REST, ids=[path for path, *_ in _REST])
def test_a_path_is_open_to_its_scopes_alone(
    client: RestClient, path: str, body: Any, allowed: frozenset[Scope | None]
) -> None:
    for caller in _CALLERS:
        response = _ask(client, path, body, _authorization(client.opened, caller))
        # The store of these tests has no traffic to load.
        answered = 404 if path.endswith("/load") else 200
        expected = answered if caller in allowed else _refused_with(caller)[0]
        assert response.status_code == expected, (caller, response.text)


@pytest.mark.parametrize("path", _PAGES)
@pytest.mark.parametrize("caller", _CALLERS)
def test_a_page_asks_for_a_token_that_may_predict(client: RestClient, caller: Scope | None, path: str) -> None:
    response = client.get(path.format(model="delays"), headers=_authorization(client.opened, caller))
    assert response.status_code == 200
    assert ("scheduled_departure" in response.text) == (caller in _PREDICTING)


@pytest.mark.parametrize(("method", "request_", "allowed"), _GRPC, ids=[method for method, *_ in _GRPC])
def test_a_method_is_open_to_its_scopes_alone(
    server: GrpcServer, guarded: OpenHandler, method: str, request_: Any, allowed: frozenset[Scope | None]
) -> None:
    for caller in _CALLERS:
        metadata = tuple(_authorization(guarded, caller).items())
        if caller in allowed:
            server.call(method, request_, metadata=metadata)
            continue
        with pytest.raises(grpc.RpcError) as refused:
            server.call(method, request_, metadata=metadata)
        assert refused.value.code() is _refused_with(caller)[1], caller


@pytest.mark.parametrize("service", REFLECTIONS)
@pytest.mark.parametrize("caller", _CALLERS)
def test_reflection_needs_a_token_that_may_predict(
    server: GrpcServer, guarded: OpenHandler, service: str, caller: Scope | None
) -> None:
    asked = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    reflect: Any = server.channel.stream_stream(f"/{service}/ServerReflectionInfo", None, None)
    answers = reflect(iter([asked]), metadata=tuple(_authorization(guarded, caller).items()), timeout=60)
    if caller in _PREDICTING:
        assert len(list(answers)) == 1
        return
    with pytest.raises(grpc.RpcError) as refused:
        list(answers)
    assert refused.value.code() is _refused_with(caller)[1]


@pytest.mark.parametrize("scope", Scope)
def test_a_token_that_expired_or_was_revoked_opens_nothing(
    client: RestClient, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = next(client.opened.settings.folder.glob("*.tokens.json"))
    soon = datetime.now(UTC) + timedelta(hours=1)
    late = make_token(hashes, "late", scope, soon)
    revoke_token(hashes, scope.value)
    monkeypatch.setattr("time.time", lambda: soon.timestamp() + 1)
    for token in (late, client.opened.tokens[scope]):
        for path, body, allowed in _REST:
            response = _ask(client, path, body, {"authorization": f"Bearer {token}"})
            assert response.status_code == (200 if allowed == _ANY else 401), path


def test_a_door_that_no_scope_was_chosen_for_is_closed_to_callers() -> None:
    assert find_scope("outcomes") is Scope.ADMIN
