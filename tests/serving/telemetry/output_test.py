"""What a service writes to standard output and error is JSON in its log, to the last line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.commands import environment

_PROGRAM = """
import os, subprocess, sys, warnings
from pathlib import Path
from athanor.serving.telemetry.output import capture_output

capture_output(Path(sys.argv[1]))
{}
"""


def _run(log: Path, body: str) -> "subprocess.CompletedProcess[bytes]":
    with log.open("ab") as file:
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(body), str(log)],
            stdout=file,
            stderr=file,
            env=environment(),
            check=False,
            timeout=60,
        )


def _records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ('print("a line")', "a line"),
        ('sys.stderr.write("no line end")', "no line end"),
        (
            'os.write(2, b"\\x1b[33m(raylet)\\x1b[0m of a library in C \\xff\\n")',
            "\x1b[33m(raylet)\x1b[0m of a library",
        ),
        ('subprocess.run(["echo", "of a child"])', "of a child"),
        ('warnings.warn("deprecated", DeprecationWarning, stacklevel=1)', "DeprecationWarning: deprecated"),
        ('raise ValueError("s3://key:hunter2@bucket athn_secretsecret")', "ValueError: s3://***@bucket [withheld]"),
        ('import logging\nlogging.getLogger("other").warning("without a handler")', "without a handler"),
        ('print("x" * 300_000)', "x" * 1_000),
    ],
)
def test_what_is_written_is_in_records(tmp_path: Path, body: str, written: str) -> None:
    log = tmp_path / "delays.log"
    _run(log, body)
    records = _records(log)
    assert written in "".join(record["message"] for record in records)
    assert {record["logger"] for record in records} == {"output"}
    assert "hunter2" not in log.read_text()
    assert "\x1b" not in log.read_text()


def test_a_traceback_is_one_record(tmp_path: Path) -> None:
    log = tmp_path / "delays.log"
    assert _run(log, 'def fail():\n    raise ValueError("x")\nfail()').returncode == 1
    assert "Traceback (most recent call last)" in _records(log)[0]["message"]


def test_all_is_there_when_a_process_writes_much_and_ends(tmp_path: Path) -> None:
    log = tmp_path / "delays.log"
    _run(log, 'for i in range(20_000):\n    print(f"line {i}")')
    lines = "\n".join(record["message"] for record in _records(log)).splitlines()
    assert lines == [f"line {i}" for i in range(20_000)]


def test_what_goes_elsewhere_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "delays.log"
    log.touch()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format('print("for a terminal")'), str(log)],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=60,
    )
    assert (done.stdout, log.read_text()) == ("for a terminal\n", "")


def test_a_full_disk_ends_no_process(tmp_path: Path) -> None:
    done = tmp_path / "done"
    assert _run(Path("/dev/full"), f'print("lost", flush=True)\nPath({str(done)!r}).touch()').returncode == 0
    assert done.exists()
