"""The doors speak a newer wire as soon as a release of it answers, in the same process."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from support.flights import make_flight
from support.grpc_server import METADATA, OIP, PREDICT, REFLECTIONS, GrpcServer
from support.handlers import OpenHandler, open_handler
from support.releases import expected_probability
from support.rest import RestClient
from support.serving import FIRST, SECOND, Stage, make_request
from support.wires import add_column, make_release_of

from athanor.client.client import Client, connect
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.doors.grpc import report_model
from delays.v1 import delays_pb2
from grpc_reflection.v1alpha import reflection_pb2
from projects.delays.model import MODEL


def _reflect(server: GrpcServer, symbol: str) -> DescriptorPool:
    """The files of a symbol, as a client without generated code reads them."""
    reflect: Any = server.channel.stream_stream(f"/{REFLECTIONS[0]}/ServerReflectionInfo", None, None)
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol).SerializeToString()
    (content,) = reflect(iter([asked]), timeout=120)
    response = reflection_pb2.ServerReflectionResponse.FromString(content)
    pool = DescriptorPool()
    files = map(FileDescriptorProto.FromString, response.file_descriptor_response.file_descriptor_proto)
    by_name = {file.name: file for file in files}

    def add(file: FileDescriptorProto) -> None:
        for name in file.dependency:
            if name in by_name:
                add(by_name.pop(name))
        pool.Add(file)

    while by_name:
        add(by_name.popitem()[1])
    return pool


def _promote(opened: OpenHandler, stage: Stage, folder: Path) -> None:
    """Promotes a release with a column more, as a follower does."""
    release = make_release_of(folder, add_column(), SECOND)
    stage.store.publish(release)
    traffic = Traffic(model=MODEL.name, revision=8, champion=Served(digest=release.digest, semantic_version="1.1.0"))
    core = opened.model.core
    core.traffic = Loader(MODEL.name, stage.store, max_rows=100).load(traffic, core.traffic)
    report_model(opened.handler.models.put(core), is_serving=True)


@pytest.fixture
def core(stage: Stage) -> Core:
    stage.direct(FIRST)
    return stage.core()


def test_a_client_without_generated_code_sees_and_sends_a_new_column(
    closed: GrpcServer, core: Core, stage: Stage, tmp_path: Path
) -> None:
    with open_handler(core, tmp_path / "service") as opened:
        closed.open(opened)
        service = MODEL.contract.service.full_name
        assert "gate" not in _reflect(closed, service).FindMessageTypeByName("delays.v1.Flight").fields_by_name
        _promote(opened, stage, tmp_path / "newer")
        pool = _reflect(closed, service)
        request_class = GetMessageClass(pool.FindMessageTypeByName("delays.v1.PredictRequest"))
        request: Any = request_class.FromString(make_request(make_flight(distance=500)).SerializeToString())
        request.flights[0].gate = "A1"
        response, _ = closed.call(PREDICT, request, delays_pb2.PredictResponse)
        assert response.semantic_version == "1.1.0"
        found = [prediction.late_probability for prediction in response.predictions]
        assert found == pytest.approx([expected_probability(500, SECOND)], abs=1e-6)
        asked = dict(METADATA)[f"{OIP}ModelMetadata"]
        metadata, _ = closed.call(f"{OIP}ModelMetadata", asked)
        assert b"gate" in metadata


def test_callers_of_the_earlier_wire_go_on(closed: GrpcServer, core: Core, stage: Stage, tmp_path: Path) -> None:
    with open_handler(core, tmp_path / "service") as opened:
        closed.open(opened)
        _promote(opened, stage, tmp_path / "newer")
        response, _ = closed.call(PREDICT, make_request(make_flight()), delays_pb2.PredictResponse)
        assert response.semantic_version == "1.1.0"


def test_our_client_reads_the_wire_of_its_time(closed: GrpcServer, core: Core, stage: Stage, tmp_path: Path) -> None:
    row = json_format.MessageToDict(make_flight(distance=500), preserving_proto_field_name=True)
    with (
        open_handler(core, tmp_path / "service", insecure=False) as opened,
        connect(f"127.0.0.1:{closed.port}", token=opened.token) as connection,
    ):
        closed.open(opened)
        earlier = Client.from_reflection(MODEL.name, connection)
        _promote(opened, stage, tmp_path / "newer")
        later = Client.from_reflection(MODEL.name, connection)
        assert "gate" not in earlier.row_class.DESCRIPTOR.fields_by_name
        for client, sent in ((earlier, row), (later, {**row, "gate": "A1"})):
            response = client.predict([json_format.ParseDict(sent, client.row_class())])
            assert response.semantic_version == "1.1.0"
            found = [prediction.late_probability for prediction in response.predictions]
            assert found == pytest.approx([expected_probability(500, SECOND)], abs=1e-6)


def test_rest_names_and_takes_a_new_column(core: Core, stage: Stage, tmp_path: Path) -> None:
    with open_handler(core, tmp_path / "service") as opened:
        client = RestClient(opened)
        assert "gate" not in client.get("/openapi.json").text
        _promote(opened, stage, tmp_path / "newer")
        assert '"gate"' in client.get("/openapi.json").text
        assert "gate" in client.get("/docs").text
        tensors = client.get(f"/v2/models/{MODEL.name}").json()["inputs"]
        assert "gate" in [tensor["name"] for tensor in tensors]
