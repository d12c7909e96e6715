"""The core that every door answers from."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from support.flights import make_flight
from support.releases import expected_probability

from athanor.errors import FieldViolation, InvalidRequestError, ModelNotFoundError, NotFoundError, ReleaseError
from athanor.release.files import GRAPH, Release
from athanor.release.store import ReleaseStore
from athanor.serving.core import Core
from flight_delay.v1 import flight_delay_pb2
from projects.flight_delay.model import MODEL


def _request(*flights: flight_delay_pb2.Flight, **fields: str) -> flight_delay_pb2.PredictRequest:
    return flight_delay_pb2.PredictRequest(flights=flights, **fields)


def _refuse(core: Core, *flights: flight_delay_pb2.Flight) -> tuple[FieldViolation, ...]:
    with pytest.raises(InvalidRequestError) as caught:
        core.predict(_request(*flights), "id")
    return caught.value.violations


def test_it_answers_each_row_in_the_order_given(core: Core, release: Release) -> None:
    distances = [100.0, 5_000.0, 1_000.0]
    response: Any = core.predict(_request(*(make_flight(distance=d) for d in distances)), "my request")
    assert isinstance(response, flight_delay_pb2.PredictResponse)
    found = [prediction.late_probability for prediction in response.predictions]
    assert found == pytest.approx([expected_probability(d) for d in distances], abs=1e-6)
    assert (response.model_name, response.semantic_version) == ("flight_delay", "1.2.3")
    assert (response.release_digest, response.request_id) == (release.digest, "my request")


@pytest.mark.parametrize(
    "fields",
    [{"model_name": "flight_delay"}, {"semantic_version": "1.2.3"}, {"model_name": "", "semantic_version": ""}],
)
def test_model_and_version_may_be_named(core: Core, fields: dict[str, str]) -> None:
    response: Any = core.predict(_request(make_flight(), **fields), "id")
    assert len(response.predictions) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_name": "weather"}, "model 'weather' is not served here; 'flight_delay' is"),
        ({"model_name": "Flight_delay"}, "model 'Flight_delay' is not served here"),
        ({"semantic_version": "1.2.4"}, "flight_delay '1.2.4' is not served; '1.2.3' is"),
        ({"semantic_version": "1.2"}, "flight_delay '1.2' is not served"),
    ],
)
def test_another_model_or_version_is_not_found(core: Core, fields: dict[str, str], message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message):
        core.predict(_request(make_flight(), **fields), "id")


def test_no_rows_are_no_request(core: Core) -> None:
    assert _refuse(core) == (FieldViolation("flights", "REQUIRED", "is required; give at least one"),)


def test_too_many_rows_are_refused_before_they_are_read(core: Core) -> None:
    core.predict(_request(*[make_flight()] * 50), "id")
    assert _refuse(core, *[make_flight(distance=-1)] * 51) == (
        FieldViolation("flights", "TOO_MANY", "51 are too many; give at most 50"),
    )


def test_every_violation_is_told_by_row_and_then_by_field(core: Core) -> None:
    good = make_flight()
    bad = make_flight(distance=-1, carrier="united", flight_number=None, temperature=float("inf"))
    worse = make_flight(origin="LHR", scheduled_departure=Timestamp(seconds=2**62))
    found = _refuse(core, good, bad, good, worse)
    assert [(violation.field, violation.rule) for violation in found] == [
        ("flights[1].carrier", "PATTERN"),
        ("flights[1].flight_number", "REQUIRED"),
        ("flights[1].distance", "MINIMUM"),
        ("flights[1].temperature", "FINITE"),
        ("flights[3].scheduled_departure", "TIMESTAMP"),
        ("flights[3].origin", "CATEGORY"),
    ]
    assert found[5].description == "'LHR' is not allowed (CATEGORY); give one of EWR, JFK, LGA"


def test_an_empty_row_lacks_all_that_is_required(core: Core) -> None:
    found = _refuse(core, flight_delay_pb2.Flight())
    assert {violation.rule for violation in found} == {"REQUIRED"}
    assert [violation.field.removeprefix("flights[0].") for violation in found] == [
        column.name for column in MODEL.contract.columns if not column.may_be_missing
    ]


def test_what_is_optional_may_be_left_out_or_nan(core: Core) -> None:
    core.predict(_request(make_flight(temperature=None), make_flight(temperature=float("nan"))), "id")


def test_bytes_that_are_no_message_are_refused_with_what_they_should_be(core: Core) -> None:
    with pytest.raises(InvalidRequestError, match=r"the bytes are no flight_delay\.v1\.PredictRequest: broken"):
        core.predict(DecodeError("broken"), "id")


def test_after_a_bad_request_a_good_one_is_answered(core: Core) -> None:
    for bad in (_request(), _request(make_flight(distance=-1)), _request(make_flight(), model_name="weather")):
        with pytest.raises((InvalidRequestError, ModelNotFoundError)):
            core.predict(bad, "id")
        response: Any = core.predict(_request(make_flight(distance=1_000)), "id")
        assert response.predictions[0].late_probability == pytest.approx(0.5)


def test_without_traffic_it_does_not_start(store: ReleaseStore) -> None:
    with pytest.raises(NotFoundError, match="no release of flight_delay takes traffic"):
        Core(MODEL, store, max_rows=1)


def test_on_a_release_that_was_tampered_with_it_does_not_start(store: ReleaseStore, release: Release) -> None:
    path = store.folder / "releases" / MODEL.name / release.digest / GRAPH
    path.write_bytes(path.read_bytes().replace(b"Sigmoid", b"Softmax"))
    with pytest.raises(ReleaseError, match=f"{path.name} is corrupted or was tampered with"):
        Core(MODEL, store, max_rows=1)
