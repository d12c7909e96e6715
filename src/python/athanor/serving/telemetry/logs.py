"""The log of a replica: one line of JSON for each record, without secrets and without values of requests.

Replicas append to one file, which has a bound. logrotate may move it away at any time as well: the next line creates it
again.
"""

import errno
import fcntl
import json
import logging
import os
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
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
from athanor.system.url_secrets import mask_secrets

REQUESTS: Final = "athanor.serving.requests"
"""Name of the logger of requests."""

_FIELDS: Final = "athanor"
_OURS: Final = "athanor"
_WITHHELD: Final = "[withheld]"
# A secret is longer than the words that follow `Bearer` in a sentence.
_SECRETS: Final = re.compile(r"athn_[\w-]+|(?i:(?<=bearer))[\s:=]+[\w.~+/-]{6,}=*")
_REFUSALS: Final = (InputError, AbandonedError, DeadlineExceededError, OverloadedError)
# Lines about requests, by kind: a flood of requests must not fill the disk.
_MAX_LINES_PER_S: Final = {"answered": 100, "refused": 20, "failed": 20}
_MAX_VIOLATIONS: Final = 1_000
# Weeks of lines by default; at the limits above, half an hour.
_MAX_LOG_BYTES: Final = 64 * 1024 * 1024
# `flights[3].distance` of the typed doors; `inputs.distance[3]` or, for all of its rows, `inputs.'distance'`.
_COLUMN: Final = re.compile(r"\.'?(\w+)'?(?:\[\d+\])?$")


def is_failure(error: AthanorError) -> bool:
    """Whether an error is a fault of the service."""
    return not isinstance(error, _REFUSALS)


def withhold_secrets(text: str) -> str:
    """Replace the tokens in a text, and the passwords in its URLs."""
    return _SECRETS.sub(
        lambda found: _WITHHELD if found[0].startswith("athn_") else f" {_WITHHELD}", mask_secrets(text)
    )


class SecretsFilter(logging.Filter):
    """Removes tokens from records: from message, arguments, exception, stack and fields."""

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
        # Everything beyond ASCII is escaped, so that no line separator of any kind is left.
        return json.dumps(line, default=str)


class LogFile(WatchedFileHandler):
    """A log that several processes append to. It is moved to `<name>.1` when it is full: the two are all there is."""

    def __init__(self, path: Path, max_bytes: int = _MAX_LOG_BYTES) -> None:
        with suppress(OSError):  # `emit` reports it
            path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, encoding="utf-8", delay=True)
        self._max_bytes = max_bytes
        self.setFormatter(JsonFormatter())
        self.addFilter(SecretsFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line, whole or not at all: on a full disk a part of one would spoil the next as well."""
        try:
            self.reopenIfNeeded()
            if not self.stream:
                self.stream = self._open()
            descriptor = self.stream.fileno()
            _append(descriptor, f"{self.format(record)}{self.terminator}".encode())
            if os.lseek(descriptor, 0, os.SEEK_CUR) > self._max_bytes:
                self._move(descriptor)
        except Exception:  # noqa: BLE001 - as every handler of logging, it never fails its caller
            self.handleError(record)

    def _move(self, descriptor: int) -> None:
        """Moves the file once, even if several processes find it full: each locks its file, then checks the path."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        path = Path(self.baseFilename)
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            path.replace(f"{path}.1")
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _append(descriptor: int, line: bytes) -> None:
    written = os.write(descriptor, line)
    if written < len(line):
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if os.fstat(descriptor).st_size == end:
            os.ftruncate(descriptor, end - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def open_log(path: Path) -> logging.Handler:
    """Write this process's log to a file too: from INFO on for our loggers, from WARNING on for others."""
    handler = LogFile(path)
    logging.getLogger(_OURS).setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)
    return handler


def close_log(handler: logging.Handler) -> None:
    logging.getLogger().removeHandler(handler)
    # A full disk loses the rest.
    with suppress(OSError):
        handler.close()


class RequestLog:
    """Lines about requests, without the values sent: only which columns broke which rules."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = logging.getLogger(REQUESTS)
        self._limits = {kind: _RateLimit(maximum, now) for kind, maximum in _MAX_LINES_PER_S.items()}

    def answered(self, **fields: object) -> None:
        if self._limits["answered"].allows("OK"):
            self._logger.info("answered", extra={_FIELDS: {"code": "OK", **fields}})

    def refused(self, error: AthanorError, columns: Set[str], **fields: object) -> None:
        """Log an error that a caller gets.

        Args:
            columns: names to log; any other name in a request may be private, and is logged as `other`.
        """
        fields = {"code": error.code, **fields}
        if is_failure(error):
            if self._limits["failed"].allows(error.code):
                fields["traceback"] = describe_failure(error)
                self._logger.error("failed", extra={_FIELDS: fields})
        elif self._limits["refused"].allows(error.code):
            if isinstance(error, InvalidRequestError) and error.violations:
                fields["violations"] = _describe_violations(error.violations, columns)
            self._logger.info("refused", extra={_FIELDS: fields})

    def report_suppressed(self) -> None:
        """Log how many lines of each kind were suppressed since the last call. To be called about every second."""
        for kind, limit in self._limits.items():
            if suppressed := limit.take_suppressed():
                level = logging.ERROR if kind == "failed" else logging.INFO
                fields = {"left_out": dict(suppressed)}
                self._logger.log(level, "%s more requests %s", suppressed.total(), kind, extra={_FIELDS: fields})


def _describe_violations(violations: tuple[FieldViolation, ...], columns: Set[str]) -> dict[str, int]:
    """How often each column broke each rule, by `column RULE`."""
    found: Counter[str] = Counter()
    for violation in islice(violations, _MAX_VIOLATIONS):
        name = _COLUMN.search(violation.field)
        column = name[1] if name and name[1] in columns else "other"
        found[f"{column} {violation.rule}"] += 1
    return dict(found)


def describe_failure(error: BaseException) -> str:
    """The stack of an error and of its causes, innermost first, without their texts, which may quote a request."""
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


class _RateLimit:
    """Allows a number of lines a second, and counts the others."""

    def __init__(self, max_per_s: int, now: Callable[[], float]) -> None:
        self._max = max_per_s
        self._now = now
        self._lock = threading.Lock()
        self._second = -1
        self._used = 0
        self._suppressed: Counter[str] = Counter()

    def allows(self, code: str) -> bool:
        with self._lock:
            second = int(self._now())
            if second != self._second:
                self._second, self._used = second, 0
            self._used += 1
            if self._used <= self._max:
                return True
            self._suppressed[code] += 1
            return False

    def take_suppressed(self) -> "Counter[str]":
        with self._lock:
            suppressed, self._suppressed = self._suppressed, Counter()
            return suppressed
