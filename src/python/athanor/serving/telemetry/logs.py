"""The log of a replica: JSON, one line for each record, without secrets and without values of requests.

Replicas append to one file. It may be moved away at any time, as logrotate does: the next line makes it anew.
"""

import json
import logging
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Final

from athanor.errors import (
    AbandonedError,
    AthanorError,
    DeadlineExceededError,
    FieldViolation,
    InputError,
    InvalidRequestError,
    OverloadedError,
)

REQUESTS: Final = "athanor.serving.requests"
"""Name of the logger that tells of requests."""

_FIELDS: Final = "athanor"
_OURS: Final = "athanor"
_WITHHELD: Final = "[withheld]"
# A word after `Bearer` in a sentence is shorter than any secret.
_SECRETS: Final = re.compile(r"athn_[\w-]+|(?i:(?<=bearer))[\s:=]+[\w.~+/-]{6,}=*")
_REFUSALS: Final = (InputError, AbandonedError, DeadlineExceededError, OverloadedError)
# Of each kind of line about requests. A flood fills no disk.
_MOST_LINES_PER_S: Final = 20
_MOST_ANSWERED_PER_S: Final = 100
_MOST_VIOLATIONS: Final = 1_000


def is_failure(error: AthanorError) -> bool:
    """Whether an error is the service's own fault."""
    return not isinstance(error, _REFUSALS)


def withhold_secrets(text: str) -> str:
    """A text without the tokens in it."""
    return _SECRETS.sub(lambda found: _WITHHELD if found[0].startswith("athn_") else f" {_WITHHELD}", text)


class SecretsFilter(logging.Filter):
    """Takes tokens out of records, wherever in them they are: message, arguments, exception, stack and fields."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - whatever a broken record raises, it may hold a secret
            message = f"{record.msg} {record.args}"
        record.msg, record.args = withhold_secrets(message), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = withhold_secrets(record.exc_text)
        if record.stack_info:
            record.stack_info = withhold_secrets(record.stack_info)
        if fields := getattr(record, _FIELDS, None):
            setattr(record, _FIELDS, {name: _withhold_in(value) for name, value in fields.items()})
        return True


def _withhold_in(value: object) -> object:
    if isinstance(value, str):
        return withhold_secrets(value)
    if isinstance(value, Mapping):
        return {withhold_secrets(str(name)): _withhold_in(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [_withhold_in(inner) for inner in value]
    return value


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= getattr(record, _FIELDS, {})
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        line |= {name: text for name, text in (("traceback", record.exc_text), ("stack", record.stack_info)) if text}
        # No line separator of any kind stays in it: all beyond ASCII is escaped.
        return json.dumps(line, default=str)


def open_log(path: Path) -> logging.Handler:
    """Lets all that this process logs go to a file too: ours from INFO on, all others from WARNING on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = WatchedFileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(SecretsFilter())
    logging.getLogger(_OURS).setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    return handler


def close_log(handler: logging.Handler) -> None:
    logging.getLogger().removeHandler(handler)
    # What a full disk did not take is lost.
    with suppress(OSError):
        handler.close()


class RequestLog:
    """Lines about requests: never of what was asked, only which columns broke which rules."""

    def __init__(self, columns: Iterable[str], now: Callable[[], float] = time.monotonic) -> None:
        """Args: columns: names that may be told; whatever else a request names may be anything."""
        self._columns = frozenset(columns)
        self._logger = logging.getLogger(REQUESTS)
        self._answered = _Limit(_MOST_ANSWERED_PER_S, now)
        self._refused = _Limit(_MOST_LINES_PER_S, now)
        self._failed = _Limit(_MOST_LINES_PER_S, now)

    def answered(self, **fields: object) -> None:
        if self._answered.allows("OK"):
            self._logger.info("answered", extra={_FIELDS: {"code": "OK", **fields}})

    def refused(self, error: AthanorError, **fields: object) -> None:
        fields = {"code": error.code, **fields}
        if is_failure(error):
            if self._failed.allows(error.code):
                fields["traceback"] = describe_failure(error)
                self._logger.error("failed", extra={_FIELDS: fields})
        elif self._refused.allows(error.code):
            if isinstance(error, InvalidRequestError) and error.violations:
                fields["violations"] = self._describe(error.violations)
            self._logger.info("refused", extra={_FIELDS: fields})

    def tell_left_out(self) -> None:
        """Tells in one line of each kind how many were left out, if any were. To be called every second or so."""
        for level, what, limit in (
            (logging.INFO, "answered", self._answered),
            (logging.INFO, "refused", self._refused),
            (logging.ERROR, "failed", self._failed),
        ):
            if left_out := limit.take_left_out():
                fields = {"left_out": dict(left_out)}
                self._logger.log(level, "%s %s more", left_out.total(), what, extra={_FIELDS: fields})

    def _describe(self, violations: tuple[FieldViolation, ...]) -> dict[str, int]:
        """How often each column broke each rule, by `column RULE`."""
        found: Counter[str] = Counter()
        for violation in islice(violations, _MOST_VIOLATIONS):
            column = violation.field.rpartition(".")[2]
            found[f"{column if column in self._columns else 'other'} {violation.rule}"] += 1
        return dict(found)


def describe_failure(error: BaseException) -> str:
    """Where an error came from, and its causes, innermost first: without their texts, which may quote a request."""
    parts: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        kind = type(each)
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"{frames}{kind.__module__}.{kind.__qualname__} (its text is withheld: it may quote a request)")
        each = each.__cause__ or each.__context__
    return "\n".join(reversed(parts))


class _Limit:
    """So many a second; the others are counted."""

    def __init__(self, most_per_s: int, now: Callable[[], float]) -> None:
        self._most = most_per_s
        self._now = now
        self._lock = threading.Lock()
        self._second = -1
        self._used = 0
        self._left_out: Counter[str] = Counter()

    def allows(self, code: str) -> bool:
        with self._lock:
            second = int(self._now())
            if second != self._second:
                self._second, self._used = second, 0
            self._used += 1
            if self._used <= self._most:
                return True
            self._left_out[code] += 1
            return False

    def take_left_out(self) -> "Counter[str]":
        with self._lock:
            left_out, self._left_out = self._left_out, Counter()
            return left_out
