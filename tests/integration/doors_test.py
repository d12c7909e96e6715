"""All doors lead to one core: the same numbers, the same refusals, the same limits, whichever a request comes by."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import grpc
import grpc.aio
import httpx
import pytest
from integration.bad_rows import BAD_FIELDS, make_bad_rows
from integration.door_requests import typed_json, typed_message
from integration.doors import ALL_DOORS, FOUR_DOORS, METHODS, PATHS, Doors, Refused, Told
from integration.service import Service, running_service
from prepared.place import copy_prepared

from athanor.release.traffic import Traffic
from delays.v1 import delays_pb2

Flights = list[delays_pb2.Flight]

# A service with limits that are soon reached.
_MAX_ROWS: Final = 300
_MAX_BYTES: Final = 256 * 1024
_MAX_IN_FLIGHT: Final = 2
_BURST: Final = 200
# Of gRPC's own limit, which lies a little above ours: it refuses before anything is read.
_BEYOND_BYTES: Final = 1024 * 1024
_GRPC_DOORS: Final = ("grpc", "oip-grpc", "oip-grpc raw", "inspection")
_CODES: Final = {"400": "INVALID_ARGUMENT", "404": "NOT_FOUND", "413": "INVALID_ARGUMENT", "504": "DEADLINE_EXCEEDED"}


@pytest.fixture(scope="session")
def doors(service: Service) -> Iterator[Doors]:
    opened = Doors.open(service)
    yield opened
    opened.close()


def _answer(doors: Doors, name: str, rows: Flights, **asked: Any) -> Told:
    told = ALL_DOORS[name](doors, rows, **asked)
    assert isinstance(told, Told), told
    return told


def _refusal(doors: Doors, name: str, rows: Flights, **asked: Any) -> Refused:
    told = ALL_DOORS[name](doors, rows, **asked)
    assert isinstance(told, Refused)
    return told


def _code(refused: Refused) -> str:
    """What gRPC calls it."""
    return _CODES.get(refused.status, refused.status)


@pytest.mark.parametrize("name", [name for name in ALL_DOORS if name != "grpc"])
def test_equal_rows_have_equal_numbers_bit_for_bit(doors: Doors, flights: Flights, name: str) -> None:
    expected = _answer(doors, "grpc", flights).probabilities
    found = _answer(doors, name, flights).probabilities
    assert [value.hex() for value in found] == [value.hex() for value in expected]


@pytest.mark.parametrize("name", ALL_DOORS)
def test_each_row_by_itself_has_the_number_that_it_has_among_others(doors: Doors, flights: Flights, name: str) -> None:
    together = _answer(doors, name, flights[:5]).probabilities
    assert [_answer(doors, name, [flight]).probabilities[0] for flight in flights[:5]] == together
    assert len(set(together)) == 5


@pytest.mark.parametrize("name", ALL_DOORS)
def test_every_answer_says_who_gave_it(doors: Doors, flights: Flights, traffic: Traffic, name: str) -> None:
    told = _answer(doors, name, flights[:1], headers={"x-request-id": f"to {name}".replace(" ", "-")})
    assert told.fields == {
        "model": traffic.model,
        "version": traffic.require_champion().semantic_version,
        "digest": traffic.require_champion().digest,
        "variant": "champion",
        "request_id": f"to {name}".replace(" ", "-"),
    }
    assert told.headers["x-athanor-version"] == traffic.require_champion().semantic_version
    assert told.headers["x-athanor-digest"] == traffic.require_champion().digest
    assert told.headers["x-athanor-variant"] == "champion"
    assert told.headers["x-request-id"] == told.fields["request_id"]


@pytest.mark.parametrize("name", ALL_DOORS)
def test_who_sends_no_request_id_gets_one_the_same_in_body_and_headers(
    doors: Doors, flights: Flights, name: str
) -> None:
    told = [_answer(doors, name, flights[:1]) for _ in range(2)]
    assert told[0].fields["request_id"] != told[1].fields["request_id"]
    assert [each.headers["x-request-id"] for each in told] == [each.fields["request_id"] for each in told]


@pytest.mark.parametrize("name", ALL_DOORS)
def test_all_that_is_wrong_with_all_rows_is_said_at_once_in_the_same_words(doors: Doors, name: str) -> None:
    rows = make_bad_rows()
    expected = [(int(field[8]), field.partition(".")[2], rule) for field, rule in BAD_FIELDS]
    if name in ("rest", "rest inspection"):
        # JSON of protobuf cannot write a moment beyond the year 9999.
        rows[2].scheduled_departure.FromJsonString("2013-01-01T10:15:00Z")
        expected = [each for each in expected if each[2] != "TIMESTAMP"]
    refused = _refusal(doors, name, rows)
    assert _code(refused) == "INVALID_ARGUMENT"
    assert list(refused.violations) == expected
    assert "in 2 of 3 rows" in refused.detail
    assert (
        f"{rows[1].carrier!r} is not allowed" in refused.detail or "scheduled_departure is required" in refused.detail
    )


@pytest.mark.parametrize("name", ALL_DOORS)
def test_no_rows_are_refused(doors: Doors, name: str) -> None:
    refused = _refusal(doors, name, [])
    assert _code(refused) == "INVALID_ARGUMENT"
    assert refused.violations == ((-1, "inputs" if "oip" in name else "flights", "REQUIRED"),)


@pytest.fixture(scope="module")
def narrow(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose limits are soon reached."""
    home = copy_prepared(tmp_path_factory.mktemp("narrow") / "home")
    limits = ("--max-rows", _MAX_ROWS, "--max-message-bytes", _MAX_BYTES, "--max-in-flight", _MAX_IN_FLIGHT)
    # Whether anything of it survives is seen with the other service, which may start processes meanwhile.
    with running_service(home, *limits) as running:
        yield running


@pytest.fixture(scope="module")
def narrow_doors(narrow: Service) -> Iterator[Doors]:
    opened = Doors.open(narrow)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ALL_DOORS)
def test_as_many_rows_as_allowed_are_answered_and_one_more_is_refused(
    narrow_doors: Doors, flights: Flights, name: str
) -> None:
    assert len(_answer(narrow_doors, name, flights * 3).probabilities) == _MAX_ROWS
    refused = _refusal(narrow_doors, name, [*flights * 3, flights[0]])
    assert _code(refused) == "INVALID_ARGUMENT"
    assert refused.violations == ((-1, "inputs" if "oip" in name else "flights", "TOO_MANY"),)
    assert f"more than {_MAX_ROWS} rows" in refused.detail


def _rows_of_bytes(flights: Flights, least: int) -> Flights:
    """Rows that take at least so many bytes at every door, in a text that is too long for its column anyway."""
    flight = delays_pb2.Flight()
    flight.CopyFrom(flights[0])
    flight.carrier = "U" * least
    return [flight]


@pytest.mark.parametrize("name", ALL_DOORS)
def test_too_many_bytes_are_refused(narrow_doors: Doors, flights: Flights, name: str) -> None:
    refused = _refusal(narrow_doors, name, _rows_of_bytes(flights, _MAX_BYTES))
    assert _code(refused) == "INVALID_ARGUMENT"
    assert f"{_MAX_BYTES}" in refused.detail
    assert not refused.violations
    almost = _refusal(narrow_doors, name, _rows_of_bytes(flights, _MAX_BYTES - 8_192))
    assert [rule for *_, rule in almost.violations] == ["PATTERN"]


@pytest.mark.parametrize("name", ALL_DOORS)
def test_far_too_many_bytes_are_refused_before_they_are_read(narrow_doors: Doors, flights: Flights, name: str) -> None:
    refused = _refusal(narrow_doors, name, _rows_of_bytes(flights, _BEYOND_BYTES))
    assert refused.status == ("RESOURCE_EXHAUSTED" if name in _GRPC_DOORS else "413")
    assert len(_answer(narrow_doors, name, flights[:1]).probabilities) == 1


@pytest.mark.parametrize("name", ALL_DOORS)
def test_a_deadline_that_has_passed_is_said(doors: Doors, flights: Flights, name: str) -> None:
    # So many rows take longer, however fast the machine. Repeated, since timers of Serve fire a moment early.
    for _ in range(5):
        assert _code(_refusal(doors, name, flights * 100, timeout_s=0.001)) == "DEADLINE_EXCEEDED"
    assert len(_answer(doors, name, flights[:1], timeout_s=60.0).probabilities) == 1


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon", "", "1" * 5_000])
def test_a_deadline_that_is_none_is_refused(doors: Doors, flights: Flights, given: str) -> None:
    refused = FOUR_DOORS["rest"](doors, flights[:1], headers={"x-request-timeout-s": given})
    assert isinstance(refused, Refused)
    assert refused.status == "400"
    assert "x-request-timeout-s" in refused.detail


async def _burst_by_grpc(service: Service, content: bytes) -> list[tuple[str, str | None]]:
    """Code, and what it says of when to ask again, of many requests at once."""
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        ask: Any = channel.unary_unary(METHODS["grpc"], None, None)

        async def send() -> tuple[str, str | None]:
            call = ask(content, timeout=120, metadata=(service.authorization,))
            with suppress(grpc.RpcError):
                await call
            trailing = {name: str(value) for name, value in await call.trailing_metadata()}
            return (await call.code()).name, trailing.get("retry-after")

        return await asyncio.gather(*(send() for _ in range(_BURST)))


async def _burst_by_rest(service: Service, content: bytes) -> list[tuple[str, str | None]]:
    limits = httpx.Limits(max_connections=_BURST)
    headers = dict([service.authorization])
    async with httpx.AsyncClient(
        base_url=f"http://{service.http}", limits=limits, timeout=120, trust_env=False, headers=headers
    ) as client:

        async def send() -> tuple[str, str | None]:
            response = await client.post(PATHS["rest"], content=content)
            return str(response.status_code), response.headers.get("retry-after")

        return await asyncio.gather(*(send() for _ in range(_BURST)))


@pytest.mark.parametrize(("door", "taken", "refused"), [("grpc", "OK", "RESOURCE_EXHAUSTED"), ("rest", "200", "429")])
def test_more_requests_than_fit_are_refused_at_once_and_told_when_to_come_again(
    narrow: Service, narrow_doors: Doors, flights: Flights, door: str, taken: str, refused: str
) -> None:
    rows = flights * 3
    if door == "grpc":
        told = asyncio.run(_burst_by_grpc(narrow, typed_message(rows).SerializeToString()))
    else:
        told = asyncio.run(_burst_by_rest(narrow, typed_json(rows).encode()))
    codes = Counter(code for code, _ in told)
    assert set(codes) == {taken, refused}, codes
    assert all(float(after or 0) > 0 for code, after in told if code == refused)
    assert _answer(narrow_doors, door, rows).probabilities[:100] == _answer(narrow_doors, door, flights).probabilities
    assert narrow_doors.rest.get("/readyz").status_code == 200
