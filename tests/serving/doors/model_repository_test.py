"""The model repository extension at its doors, with two models of one store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from support.grpc_server import OIP, GrpcServer
from support.handlers import OpenHandler, open_handler_of
from support.rest import RestClient
from support.two_models import OTHER, OTHER_VERSION, VERSION, promote_missing, promote_other, promote_usual

from athanor.release.store import ReleaseStore
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import make_token
from inference import open_inference_pb2 as oip
from projects.delays.model import MODEL

_ASKED: Final = oip.RepositoryIndexRequest()
_INDEX: Final = "/v2/repository/index"
_LOAD: Final = "/v2/repository/models/{}/load"
_UNLOAD: Final = "/v2/repository/models/{}/unload"


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    """Of the service, with the usual model."""
    store = ReleaseStore(tmp_path / "service" / "store")
    promote_usual(store, tmp_path)
    return store


@pytest.fixture
def opened(store: ReleaseStore, tmp_path: Path) -> Iterator[OpenHandler]:
    with open_handler_of((), tmp_path / "service", insecure=False) as opened:
        yield opened


@pytest.fixture
def client(opened: OpenHandler) -> RestClient:
    return RestClient(opened)


@pytest.fixture
def server(closed: GrpcServer, opened: OpenHandler) -> GrpcServer:
    closed.open(opened)
    return closed


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _post(client: RestClient, path: str, body: bytes = b"", token: str = "") -> Any:
    return client.post(path, content=body, headers=_bearer(token or client.opened.admin))


def _call(server: GrpcServer, method: str, request: Any, response: Any, token: str) -> Any:
    return server.call(f"{OIP}{method}", request, response, metadata=tuple(_bearer(token).items()))[0]


def _names(entries: Any) -> list[tuple[str, str, str]]:
    return [(entry["name"], entry["version"], entry["state"]) for entry in entries]


def test_the_index_is_the_same_over_grpc_and_rest(client: RestClient, server: GrpcServer) -> None:
    entries = _post(client, _INDEX).json()
    assert _names(entries) == [(MODEL.name, VERSION, "READY")]
    found = _call(
        server, "RepositoryIndex", oip.RepositoryIndexRequest(), oip.RepositoryIndexResponse, client.opened.token
    )
    assert [(each.name, each.version, each.state) for each in found.models] == _names(entries)


def test_a_load_follows_a_new_traffic_file_at_once(client: RestClient, store: ReleaseStore, tmp_path: Path) -> None:
    assert _post(client, _LOAD.format(OTHER)).status_code == 404
    promote_other(store, tmp_path)
    loaded = _post(client, _LOAD.format(OTHER))
    assert (loaded.status_code, loaded.json()) == (200, {})
    assert _names(_post(client, _INDEX).json()) == [(MODEL.name, VERSION, "READY"), (OTHER, OTHER_VERSION, "READY")]
    assert client.get(f"/v2/models/{OTHER}/ready", headers=_bearer(client.opened.token)).status_code == 200


def test_a_load_over_grpc_follows_a_new_traffic_file_at_once(
    server: GrpcServer, opened: OpenHandler, store: ReleaseStore, tmp_path: Path
) -> None:
    promote_other(store, tmp_path)
    asked = oip.RepositoryModelLoadRequest(model_name=OTHER)
    _call(server, "RepositoryModelLoad", asked, oip.RepositoryModelLoadResponse, opened.admin)
    ready = oip.ModelReadyRequest(name=OTHER, version=OTHER_VERSION)
    assert _call(server, "ModelReady", ready, oip.ModelReadyResponse, opened.token).ready


def test_what_cannot_be_loaded_is_refused_and_listed_with_the_reason(client: RestClient, store: ReleaseStore) -> None:
    promote_missing(store)
    refused = _post(client, _LOAD.format(OTHER))
    assert (refused.status_code, refused.json()["code"]) == (500, "INVALID_RELEASE")
    assert refused.json()["error"].startswith(f"model '{OTHER}' cannot be loaded: ")
    entries = _post(client, _INDEX).json()
    assert _names(entries) == [(MODEL.name, VERSION, "READY"), (OTHER, "", "UNAVAILABLE")]
    assert entries[1]["reason"] in refused.json()["error"]
    assert _names(_post(client, _INDEX, b'{"ready": true}').json()) == [(MODEL.name, VERSION, "READY")]


def test_a_withdrawn_model_is_unloaded_at_once(client: RestClient, store: ReleaseStore, tmp_path: Path) -> None:
    traffic = promote_other(store, tmp_path)
    assert _post(client, _LOAD.format(OTHER)).status_code == 200
    store.write_traffic(traffic.model_copy(update={"revision": 2, "champion": None}))
    assert _post(client, _UNLOAD.format(OTHER)).status_code == 200
    assert _names(_post(client, _INDEX).json()) == [(MODEL.name, VERSION, "READY")]
    refused = _post(client, _LOAD.format(OTHER))
    assert (refused.status_code, refused.json()["code"]) == (404, "MODEL_NOT_FOUND")
    assert "athanor registry promote" in refused.json()["error"]


@pytest.mark.parametrize(("model", "status"), [(MODEL.name, 409), ("no_such_model", 200)])
def test_a_model_is_unloaded_by_its_traffic_alone(client: RestClient, model: str, status: int) -> None:
    response = _post(client, _UNLOAD.format(model), b'{"parameters": {"unload_dependents": false}}')
    assert response.status_code == status
    assert ("athanor registry withdraw" in response.text) == (status == 409)


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("RepositoryIndex", oip.RepositoryIndexRequest(repository_name="mine"), "INVALID_ARGUMENT"),
        ("RepositoryModelLoad", oip.RepositoryModelLoadRequest(model_name="no_such_model"), "NOT_FOUND"),
        (
            "RepositoryModelLoad",
            oip.RepositoryModelLoadRequest(
                model_name=MODEL.name, parameters={"config": oip.ModelRepositoryParameter(string_param="{}")}
            ),
            "INVALID_ARGUMENT",
        ),
        ("RepositoryModelUnload", oip.RepositoryModelUnloadRequest(model_name=MODEL.name), "FAILED_PRECONDITION"),
    ],
)
def test_what_the_service_does_not_do_is_refused_over_grpc(
    server: GrpcServer, opened: OpenHandler, method: str, request_: Any, code: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _call(server, method, request_, oip.RepositoryIndexResponse, opened.admin)
    assert refused.value.code().name == code


@pytest.mark.parametrize(
    ("method", "request_class"),
    [
        ("RepositoryModelLoad", oip.RepositoryModelLoadRequest),
        ("RepositoryModelUnload", oip.RepositoryModelUnloadRequest),
    ],
)
def test_a_token_that_may_predict_loads_and_unloads_nothing_over_grpc(
    server: GrpcServer, opened: OpenHandler, method: str, request_class: Any
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _call(server, method, request_class(model_name=MODEL.name), oip.RepositoryIndexResponse, opened.token)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_large_body_is_refused(client: RestClient) -> None:
    assert _post(client, _LOAD.format(MODEL.name), bytes(5_000)).status_code == 413


def test_a_token_of_one_model_sees_and_loads_no_other(
    client: RestClient, server: GrpcServer, store: ReleaseStore, tmp_path: Path
) -> None:
    promote_other(store, tmp_path)
    path = client.opened.tokens_path
    caller = make_token(path, "caller", Scope.PREDICT, models=[OTHER])
    owner = make_token(path, "owner", Scope.ADMIN, models=[OTHER])
    assert _post(client, _LOAD.format(OTHER)).status_code == 200
    for token in (caller, owner):
        assert [name for name, *_ in _names(_post(client, _INDEX, token=token).json())] == [OTHER]
        found = _call(server, "RepositoryIndex", _ASKED, oip.RepositoryIndexResponse, token)
        assert [each.name for each in found.models] == [OTHER]
    assert _post(client, _LOAD.format(OTHER), token=owner).status_code == 200
    assert _post(client, _LOAD.format(OTHER), token=caller).status_code == 403
    assert _post(client, _LOAD.format(MODEL.name), token=owner).status_code == 403
