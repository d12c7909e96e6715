"""What the contract of a flight promises."""

from athanor.contract.columns import Kind
from projects.flight_delay.model import MODEL


def test_its_fingerprint_stays_the_same() -> None:
    """Releases record it: an edit that changes it makes a new minor version."""
    assert MODEL.contract.fingerprint == "10c160ef24fbc01900913c8177a71e32de9a6344fff6e8aad445413e2bec684b"


def test_a_flight_has_no_outcome_among_its_columns() -> None:
    """The one mistake that would make the example worthless."""
    names = {column.name for column in MODEL.contract.columns}
    assert not names & {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "arrived_late"}
    assert {column.name for column in MODEL.contract.outcome_columns} == {"arrived_late"}
    assert MODEL.contract.label.kind is Kind.BOOLEAN


def test_a_flight_is_valid_without_any_weather() -> None:
    weather = [column for column in MODEL.contract.columns if "scheduled hour" in column.description]
    assert len(weather) == 9
    assert all(column.may_be_missing for column in weather)
