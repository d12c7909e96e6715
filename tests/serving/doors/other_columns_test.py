"""Releases of one model whose answers have other columns: callers see what both the interface and the release have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.message_factory import GetMessageClass
from prometheus_client.parser import text_string_to_metric_families
from support.grpc_server import FEATURES, OIP, GrpcServer
from support.handlers import OpenHandler, open_handler
from support.question_requests import to_json, to_json_tensors, to_message, to_tensors
from support.questions import PRICES, PRICES_ALONE, Question
from support.rest import RestClient

from athanor.contract.contract import message_of
from athanor.inspection.v1 import inspection_pb2
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Challenger, Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from inference import open_inference_pb2 as oip

_VERSIONS: Final = {"1.0.0": PRICES_ALONE, "1.1.0": PRICES}
_ALL: Final = ["expected_price", "lower", "upper"]


class Offers:
    """A store with both releases; the older one answers a number alone."""

    def __init__(self, folder: Path) -> None:
        self.store = ReleaseStore(folder / "store")
        self._served = {}
        for version, question in _VERSIONS.items():
            release = question.make_release(folder / version)
            self.store.publish(release)
            self._served[version] = Served(digest=release.digest, semantic_version=version)

    def core(self, champion: str, **others: str) -> Core:
        served: dict[str, Any] = {name: self._served[version] for name, version in others.items()}
        if "challenger" in served:
            served["challenger"] = Challenger(**served["challenger"].model_dump(), weight=0.5)
        traffic = Traffic(model="prices", revision=1, champion=self._served[champion], **served)
        self.store.write_traffic(traffic)
        return Core(Loader("prices", self.store, max_rows=50))


@pytest.fixture
def offers(tmp_path: Path) -> Offers:
    return Offers(tmp_path)


@pytest.fixture(params=[("1.0.0", "1.1.0"), ("1.1.0", "1.0.0")], ids=["newer challenges", "older challenges"])
def opened(request: Any, offers: Offers, tmp_path: Path) -> Iterator[OpenHandler]:
    champion, challenger = request.param
    core = offers.core(champion, challenger=challenger)
    assert core.traffic.failure is None
    with open_handler(core, tmp_path / "service", prediction_log=tmp_path / "log") as opened:
        yield opened


_each_version = pytest.mark.parametrize(("version", "question"), _VERSIONS.items(), ids=list(_VERSIONS))


@_each_version
def test_a_field_that_the_release_lacks_is_unset(server: GrpcServer, version: str, question: Question) -> None:
    response_class = GetMessageClass(PRICES.contract.predict.output_type)
    response, _ = server.call(
        "/prices.v1.ToyService/Predict", to_message(PRICES, semantic_version=version), response_class
    )
    assert response.semantic_version == version
    for prediction in response.predictions:
        assert [field.name for field, _ in prediction.ListFields()] == list(question.answers)


@_each_version
def test_a_member_that_the_release_lacks_is_absent(opened: OpenHandler, version: str, question: Question) -> None:
    body = to_json(PRICES, semantic_version=version)
    response = RestClient(opened).post("/v1/models/prices:predict", content=body).json()
    assert response["semanticVersion"] == version
    names = {"expected_price": "expectedPrice"}
    assert [list(row) for row in response["predictions"]] == [[names.get(n, n) for n in question.answers]] * 5


@_each_version
def test_a_tensor_that_the_release_lacks_is_absent(
    server: GrpcServer, opened: OpenHandler, version: str, question: Question
) -> None:
    for outputs in ((), tuple(_ALL)):
        request = to_tensors(PRICES, outputs=outputs, model_version=version)
        response, _ = server.call(f"{OIP}ModelInfer", request, oip.ModelInferResponse)
        assert [output.name for output in response.outputs] == list(question.answers)
        assert len(response.raw_output_contents) == len(question.answers)
    path = f"/v2/models/prices/versions/{version}/infer"
    outputs = RestClient(opened).post(path, content=to_json_tensors(PRICES)).json()["outputs"]
    assert [output["name"] for output in outputs] == list(question.answers)


@_each_version
def test_features_come_with_what_the_release_has(server: GrpcServer, version: str, question: Question) -> None:
    request = inspection_pb2.ComputeFeaturesRequest(
        model_name="prices", semantic_version=version, request=to_message(PRICES).SerializeToString()
    )
    message, _ = server.call(FEATURES, request, inspection_pb2.ComputeFeaturesResponse)
    prediction_class = GetMessageClass(message_of(PRICES.contract.predictions_field))
    fields = prediction_class.FromString(message.rows[0].prediction).ListFields()
    assert [field.name for field, _ in fields] == list(question.answers)


def test_both_are_documented_with_all_columns(opened: OpenHandler) -> None:
    client = RestClient(opened)
    document = client.get("/openapi.json").json()
    items = document["components"]["schemas"]["prices.v1.PredictResponse"]["properties"]["predictions"]["items"]
    assert (list(items["properties"]), items["required"]) == (["expectedPrice", "lower", "upper"], ["expectedPrice"])
    assert [output["name"] for output in client.get("/v2/models/prices").json()["outputs"]] == _ALL


def test_the_log_has_nulls_for_what_the_release_lacks(opened: OpenHandler) -> None:
    client = RestClient(opened)
    for version in _VERSIONS:
        client.post("/v1/models/prices:predict", content=to_json(PRICES, semantic_version=version))
    opened.close()
    rows = opened.predictions()
    for version, question in _VERSIONS.items():
        of_version = [row for row in rows if row["semantic_version"] == version]
        for name in _ALL:
            expected = question.answers.get(name, [None] * 5)
            assert [row[name] for row in of_version] == [
                each if each is None else pytest.approx(each) for each in expected
            ]


@pytest.mark.parametrize(("champion", "shadow"), [("1.0.0", "1.1.0"), ("1.1.0", "1.0.0")])
def test_a_shadow_is_compared_and_logged_in_the_columns_of_both(
    offers: Offers, tmp_path: Path, champion: str, shadow: str
) -> None:
    core = offers.core(champion, shadow=shadow)
    with open_handler(core, tmp_path / "service", prediction_log=tmp_path / "log") as opened:
        answer = RestClient(opened).post("/v1/models/prices:predict", content=to_json(PRICES)).json()
        opened.close()
        samples = [s for f in text_string_to_metric_families(opened.metrics()) for s in f.samples]
        rows = opened.predictions()
    # The shadow adds nothing to what callers see.
    assert len(answer["predictions"][0]) == len(_VERSIONS[champion].answers)
    compared = {s.labels["column"]: s.value for s in samples if s.name == "athanor_shadow_difference_count"}
    assert compared == {"expected_price": 5}
    of_shadow = [row for row in rows if row["variant"] == "shadow"]
    logged = set(_ALL) & of_shadow[0].keys()
    assert logged == set(_VERSIONS[champion].answers)
    has = {name for name in logged if of_shadow[1][name] is not None}
    assert has == logged & set(_VERSIONS[shadow].answers)
