import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from athanor.errors import (
    AbandonedError,
    DeadlineExceededError,
    FieldViolation,
    InvalidRequestError,
    OverloadedError,
    ServiceError,
)
from athanor.serving.telemetry.logs import LogFile, RequestLog, close_log, open_log, withhold_secrets

_COLUMNS = frozenset({"distance", "carrier"})
_TOKEN = "athn_" + "Zx9-_" * 8 + "abc"


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "service" / "delays.log"
    handler = open_log(path)
    yield path
    close_log(handler)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def requests(path: Path, clock: Clock) -> RequestLog:
    return RequestLog(clock)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_answer_is_one_line_of_json(requests: RequestLog, path: Path) -> None:
    requests.answered(request_id="r", trace_id="t", span_id="s", door="grpc", duration_ms=1.5, rows=2, version="1.0.0")
    (line,) = lines(path)
    assert line.pop("time")[-1] == "Z"
    assert line.pop("process") > 0
    assert line == {
        "level": "info",
        "logger": "athanor.serving.requests",
        "message": "answered",
        "code": "OK",
        "request_id": "r",
        "trace_id": "t",
        "span_id": "s",
        "door": "grpc",
        "duration_ms": 1.5,
        "rows": 2,
        "version": "1.0.0",
    }


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("flights[3].distance", "distance"),
        ("inputs.distance[12]", "distance"),
        ("inputs.'distance'", "distance"),
        ("flights[3]", "other"),
        ("inputs.'Distance'", "other"),
        ("inputs.'x.distance'[1] ", "other"),
        ("distance", "other"),
    ],
)
def test_a_column_is_named_as_each_door_names_it(requests: RequestLog, path: Path, field: str, column: str) -> None:
    requests.refused(InvalidRequestError("bad", (FieldViolation(field, "MINIMUM", "-777"),)), _COLUMNS, request_id="r")
    assert lines(path)[0]["violations"] == {f"{column} MINIMUM": 1}


def test_a_refusal_has_its_code_and_which_columns_broke_which_rules_but_no_values(
    requests: RequestLog, path: Path
) -> None:
    violations = (
        FieldViolation("flights[0].distance", "MINIMUM", "-777 is too small"),
        FieldViolation("flights[1].distance", "MINIMUM", "-778 is too small"),
        FieldViolation("flights[1].carrier", "PATTERN", "'John Doe' is no carrier"),
        FieldViolation("John Doe's own", "UNKNOWN", "there is no such column"),
    )
    requests.refused(InvalidRequestError("not 'John Doe'", violations), _COLUMNS, request_id="r")
    (line,) = lines(path)
    assert (line["level"], line["message"], line["code"]) == ("info", "refused", "INVALID_REQUEST")
    assert line["violations"] == {"distance MINIMUM": 2, "carrier PATTERN": 1, "other UNKNOWN": 1}
    assert "John" not in path.read_text()
    assert "777" not in path.read_text()


@pytest.mark.parametrize("error", [AbandonedError("x"), DeadlineExceededError("x"), OverloadedError("x")])
def test_an_error_that_is_no_fault_of_the_service_is_a_refusal(requests: RequestLog, path: Path, error: Any) -> None:
    requests.refused(error, _COLUMNS)
    (line,) = lines(path)
    assert (line["level"], line["code"]) == ("info", error.code)
    assert "traceback" not in line


def fail(value: str) -> ServiceError:
    try:
        float(value)
    except ValueError as error:
        failure = ServiceError("the service failed")
        failure.__cause__ = error
        return failure
    raise AssertionError


def test_a_failure_has_its_stack_but_not_the_value_that_caused_it(requests: RequestLog, path: Path) -> None:
    requests.refused(fail("John Doe"), _COLUMNS, request_id="r")
    (line,) = lines(path)
    assert (line["level"], line["message"], line["code"]) == ("error", "failed", "SERVICE_FAILED")
    assert "in fail" in line["traceback"]
    assert "builtins.ValueError" in line["traceback"]
    assert "John" not in path.read_text()


def test_a_flood_of_refusals_is_suppressed_and_counted_in_one_line(
    requests: RequestLog, path: Path, clock: Clock
) -> None:
    for _ in range(5_000):
        requests.refused(InvalidRequestError("bad"), _COLUMNS)
    requests.refused(OverloadedError("full"), _COLUMNS)
    assert len(lines(path)) == 20
    requests.report_suppressed()
    assert len(lines(path)) == 21
    assert lines(path)[-1]["message"] == "4981 more requests refused"
    assert lines(path)[-1]["left_out"] == {"INVALID_REQUEST": 4980, "OVERLOADED": 1}
    requests.report_suppressed()
    assert len(lines(path)) == 21
    clock.now += 1
    requests.refused(InvalidRequestError("bad"), _COLUMNS)
    assert len(lines(path)) == 22


def test_a_flood_of_refusals_suppresses_neither_failures_nor_answers_which_have_limits_of_their_own(
    requests: RequestLog, path: Path
) -> None:
    for _ in range(30):
        requests.refused(InvalidRequestError("bad"), _COLUMNS)
    for _ in range(30):
        requests.refused(fail("x"), _COLUMNS)
    for _ in range(130):
        requests.answered()
    messages = [line["message"] for line in lines(path)]
    assert [messages.count(each) for each in ("refused", "failed", "answered")] == [20, 20, 100]


@pytest.mark.parametrize(
    "text",
    [
        _TOKEN,
        f"Bearer {_TOKEN}",
        f"authorization: bearer {_TOKEN}; more",
        f"{{'authorization': 'Bearer {_TOKEN}'}}",
        "BEARER   abcDEF123456.~+/-x==",
        "Authorization=Bearer:abcDEF123456.~+/-x==",
        f"{_TOKEN}{_TOKEN} and {_TOKEN}",
    ],
)
def test_every_token_in_a_text_is_withheld(text: str) -> None:
    cleaned = withhold_secrets(text)
    assert "Zx9" not in cleaned
    assert "abcDEF" not in cleaned
    assert "[withheld]" in cleaned


@pytest.mark.parametrize("text", ["no bearer token; send one", "`authorization: Bearer <token>`", "athn", "a bear"])
def test_words_about_tokens_are_kept(text: str) -> None:
    assert withhold_secrets(text) == text


def test_a_token_anywhere_in_a_record_is_not_logged(path: Path) -> None:
    logger = logging.getLogger("athanor.somewhere")
    logger.info(f"in the message: {_TOKEN}")  # noqa: G004 - under test
    logger.info("in the arguments: %s", {"authorization": f"Bearer {_TOKEN}"})
    logger.info("in the fields", extra={"athanor": {"door": _TOKEN, "left_out": {_TOKEN: 1, "x": [_TOKEN, 1, None]}}})
    logger.info("in arguments that do not fit: %d", _TOKEN)
    try:
        raise ValueError(_TOKEN)
    except ValueError:
        logger.exception("in the exception")
    logger.warning("in the stack", stack_info=True, extra={"secret": _TOKEN})
    assert len(lines(path)) == 6
    assert "Zx9" not in path.read_text()
    assert "ValueError: [withheld]" in lines(path)[4]["traceback"]


def test_our_loggers_are_written_from_info_on_and_others_from_warning_on(path: Path) -> None:
    logging.getLogger("athanor.x").debug("1")
    logging.getLogger("athanor.x").info("2")
    logging.getLogger("elsewhere").info("3")
    logging.getLogger("elsewhere").warning("4")
    assert [line["message"] for line in lines(path)] == ["2", "4"]


def test_a_record_cannot_forge_another(path: Path) -> None:
    logging.getLogger("athanor.x").info('a\n{"level": "error"}\r\u2028\x85b')
    assert len(path.read_text().splitlines()) == 1
    assert lines(path)[0]["message"].startswith("a\n")


def test_a_file_that_was_moved_away_is_created_again(path: Path, tmp_path: Path) -> None:
    logging.getLogger("athanor.x").info("1")
    path.rename(tmp_path / "moved.log")
    logging.getLogger("athanor.x").info("2")
    assert [line["message"] for line in lines(path)] == ["2"]


def test_a_full_disk_raises_nothing_and_reveals_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    handler = open_log(Path("/dev/full"))
    RequestLog().answered(door=_TOKEN)
    close_log(handler)
    assert handler not in logging.getLogger().handlers
    printed = capsys.readouterr().err
    assert "No space left on device" in printed
    assert "Zx9" not in printed


def test_a_log_that_cannot_be_opened_fails_no_caller(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    handler = open_log(tmp_path / "file" / "x.log")
    RequestLog().answered(door="rest")
    close_log(handler)


def test_a_line_that_a_full_disk_takes_in_part_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = LogFile(path)
    handler.handle(logging.makeLogRecord({"msg": "1"}))
    write = os.write
    with monkeypatch.context() as context:
        context.setattr("os.write", lambda number, line: write(number, line[:9]))
        handler.handle(logging.makeLogRecord({"msg": "2"}))
    handler.handle(logging.makeLogRecord({"msg": "3"}))
    assert [line["message"] for line in lines(path)] == ["1", "3"]
    close_log(handler)


def test_a_log_has_a_bound_and_no_line_is_lost_or_torn(tmp_path: Path) -> None:
    path = tmp_path / "delays.log"
    logs = [LogFile(path, max_bytes=2_000) for _ in range(4)]
    written = []
    for number in range(30):
        record = logging.LogRecord("x", logging.INFO, "", 0, f"line {number}", None, None)
        logs[number % 4].handle(record)
        written.append(f"line {number}")
        # Each of them has the old file open when another moves it.
        assert len(list(tmp_path.iterdir())) <= 2
    before = tmp_path / "delays.log.1"
    assert before.exists()
    found = [line["message"] for file in (before, path) for line in lines(file)]
    assert found == written[-len(found) :]
    assert all(file.stat().st_size < 2_500 for file in tmp_path.iterdir())
    for log in logs:
        log.close()


def test_processes_that_find_a_log_full_together_move_it_once(tmp_path: Path) -> None:
    path = tmp_path / "delays.log"
    first, second = LogFile(path, max_bytes=10), LogFile(path, max_bytes=1_000)
    second.handle(logging.LogRecord("x", logging.INFO, "", 0, "1", None, None))
    first.handle(logging.LogRecord("x", logging.INFO, "", 0, "2", None, None))
    assert second.stream
    second._move(second.stream.fileno())
    assert [line["message"] for line in lines(tmp_path / "delays.log.1")] == ["1", "2"]
    assert not path.exists()
    for log in (first, second):
        log.close()
