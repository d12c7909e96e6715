"""The documents and pages of a service with two models, and with none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.handlers import OpenHandler, open_handler_of
from support.rest import RestClient
from support.two_models import OTHER, promote_missing, promote_other, promote_usual

from athanor.release.store import ReleaseStore
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import make_token
from projects.delays.model import MODEL

_NAMES = (MODEL.name, OTHER)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenHandler]:
    store = ReleaseStore(tmp_path / "service" / "store")
    promote_usual(store, tmp_path)
    promote_other(store, tmp_path)
    with open_handler_of((), tmp_path / "service", insecure=False) as opened:
        yield opened


@pytest.fixture
def client(opened: OpenHandler) -> RestClient:
    return RestClient(opened)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_one_document_describes_all_models(client: RestClient) -> None:
    document = client.get("/openapi.json", headers=_bearer(client.opened.token)).json()
    assert {f"/v1/models/{name}:predict" for name in _NAMES} <= document["paths"].keys()
    assert {"delays.v1.Flight", "delays.v2.Flight"} <= document["components"]["schemas"].keys()


@pytest.mark.parametrize("name", _NAMES)
def test_a_document_describes_one_model(client: RestClient, name: str) -> None:
    document = client.get("/openapi.json", params={"model": name}, headers=_bearer(client.opened.token)).json()
    assert document["info"]["title"] == f"Model {name}"
    assert "/v1/models/{model}:predict" in document["paths"]


def test_the_list_leads_to_the_page_of_each_model(client: RestClient) -> None:
    listed = client.get("/docs", headers=_bearer(client.opened.token)).text
    for name in _NAMES:
        assert f'href="/docs/{name}"' in listed
        page = client.get(f"/docs/{name}", headers=_bearer(client.opened.token)).text
        assert f"/v1/models/{name}:predict" in page
        assert 'href="/docs"' in page


@pytest.mark.parametrize("path", ["/openapi.json?model=weather", "/docs/weather"])
def test_an_unknown_model_is_refused_with_the_names_of_all(client: RestClient, path: str) -> None:
    response = client.get(path, headers=_bearer(client.opened.token))
    assert (response.status_code, response.json()["code"]) == (404, "MODEL_NOT_FOUND")
    assert all(name in response.json()["detail"] for name in _NAMES)


def test_a_token_of_one_model_sees_that_model_alone(client: RestClient) -> None:
    headers = _bearer(make_token(client.opened.tokens_path, "caller", Scope.PREDICT, models=[OTHER]))
    assert client.get("/openapi.json", headers=headers).json()["info"]["title"] == f"Model {OTHER}"
    assert f"/v1/models/{OTHER}:predict" in client.get("/docs", headers=headers).text
    assert client.get("/openapi.json", params={"model": MODEL.name}, headers=headers).status_code == 403
    gate = client.get(f"/docs/{MODEL.name}", headers=headers)
    assert 'id="gate"' in gate.text
    assert MODEL.name not in gate.text


@pytest.mark.parametrize("path", ["/docs", f"/docs/{OTHER}", "/docs/weather"])
def test_the_gate_is_the_same_for_every_page(client: RestClient, path: str) -> None:
    """A caller without a token does not learn which models there are."""
    response = client.get(path)
    assert response.status_code == 200
    assert response.text == client.get("/docs").text
    assert not any(name in response.text for name in _NAMES)


def test_a_service_without_models_has_a_document_and_a_page(tmp_path: Path) -> None:
    with open_handler_of((), tmp_path / "empty") as opened:
        client = RestClient(opened)
        assert "/v2/repository/index" in client.get("/openapi.json").json()["paths"]
        assert "athanor registry promote" in client.get("/docs").text


def test_a_model_that_cannot_be_loaded_is_listed_with_the_reason(tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path / "service" / "store")
    promote_usual(store, tmp_path)
    promote_missing(store)
    with open_handler_of((), tmp_path / "service") as opened:
        page = RestClient(opened).get("/docs").text
    assert f'href="/docs/{MODEL.name}"' in page
    assert f'<th scope="row" class="code">{OTHER}</th>' in page
