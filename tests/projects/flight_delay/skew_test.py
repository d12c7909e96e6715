"""No skew on real flights: the demo's service computes what training computed, and answers the same."""

from collections.abc import Sequence
from typing import Final

import grpc
import httpx
import numpy as np
import pytest
from integration.credentials import authorize
from integration.skew import find_difference, see_by_grpc, see_by_rest, see_by_training
from support.demos import Demo

from athanor.contract.columns import Columns
from athanor.contract.messages import to_messages
from athanor.release.files import Release
from athanor.tasks.tasks import task_of
from athanor.training.evaluation.evidence import Rows, spread
from flight_delay.v1 import flight_delay_pb2
from projects.flight_delay.model import MODEL

_ROWS: Final = 5_000
_TIMEOUT_S: Final = 60.0


@pytest.fixture(scope="module")
def rows(columns: Columns) -> Rows:
    """Evenly over the snapshot, with the features that training computed for all of it at once."""
    everything = Rows.make(task_of(MODEL.contract), MODEL, columns)
    return everything.take(spread(len(everything), _ROWS))


@pytest.fixture(scope="module")
def flights(rows: Rows) -> Sequence[flight_delay_pb2.Flight]:
    return to_messages(MODEL.contract.columns, rows.columns, flight_delay_pb2.Flight)


def _make_request(flights: Sequence[flight_delay_pb2.Flight]) -> flight_delay_pb2.PredictRequest:
    return flight_delay_pb2.PredictRequest(flights=flights)


def test_the_rows_cover_the_year_and_have_missing_values(rows: Rows) -> None:
    days = rows.columns["scheduled_departure"].astype("M8[D]")
    assert len(rows) == _ROWS
    assert np.isin(np.arange("2013-01-01", "2014-01-01", dtype="M8[D]"), days).all()
    assert rows.frame.isna().any(axis=None)


def test_grpc_sees_what_training_saw(
    demo: Demo, rows: Rows, release: Release, flights: Sequence[flight_delay_pb2.Flight]
) -> None:
    with grpc.insecure_channel(demo.grpc) as channel:
        served = see_by_grpc(MODEL, authorize(channel, demo.authorization), flights, _make_request)
    assert find_difference(see_by_training(MODEL, rows, release), served) == ""


def test_rest_sees_what_training_saw(
    demo: Demo, rows: Rows, release: Release, flights: Sequence[flight_delay_pb2.Flight]
) -> None:
    headers = dict([demo.authorization])
    with httpx.Client(base_url=f"http://{demo.http}", timeout=_TIMEOUT_S, trust_env=False, headers=headers) as rest:
        served = see_by_rest(MODEL, rest, flights, _make_request)
    assert find_difference(see_by_training(MODEL, rows, release), served) == ""
