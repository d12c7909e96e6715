"""A process is known by more than its ID, which another process may have by now."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from athanor.system.locks import acquire
from athanor.system.processes import ProcessId, find_owner, own


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def _find(process: "subprocess.Popen[bytes]") -> ProcessId:
    found = ProcessId.find(process.pid)
    assert found is not None
    return found


def test_this_process_is_alive_and_reads_back_as_it_is_written() -> None:
    here = ProcessId.here()
    assert here.pid == os.getpid()
    assert here.is_alive()
    assert ProcessId.parse(str(here)) == here


@pytest.mark.parametrize("text", ["", "7", "7:", ":7", "7:8:9", "-7:8", "seven:8", "7 8"])
def test_other_text_names_no_process(text: str) -> None:
    assert ProcessId.parse(text) is None


def test_a_process_of_the_same_id_that_started_at_another_time_is_another(process: "subprocess.Popen[bytes]") -> None:
    found = _find(process)
    earlier = replace(found, started=found.started - 1)
    assert not earlier.is_alive()
    assert not earlier.send(signal.SIGKILL)
    assert process.poll() is None, "a signal for an earlier process reached this one"
    assert found.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_process_that_ended_is_not_alive_even_before_its_parent_notices(process: "subprocess.Popen[bytes]") -> None:
    found = _find(process)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not found.is_alive()
    assert not found.send(signal.SIGTERM)
    process.wait()
    assert not found.is_alive()
    assert not found.send(signal.SIGTERM)


def test_a_command_may_be_named_like_the_fields_that_follow_it(tmp_path: Path) -> None:
    program = tmp_path / ") Z 0 (x"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as started:
        found = _find(started)
        assert found.is_alive()
        started.kill()


def test_the_owner_of_a_lock_is_found_as_long_as_it_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert find_owner(path) is None
    with own(path):
        assert find_owner(path) == ProcessId.here()
        with pytest.raises(TimeoutError):
            own(path, timeout_s=0)
    assert find_owner(path) is None


@pytest.mark.parametrize("content", ["", "damaged", f"{os.getpid()}:1", "1:2", "\udcff"])
def test_a_held_lock_with_another_content_has_no_known_owner(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    with acquire(path):
        path.write_bytes(content.encode(errors="surrogateescape"))
        assert find_owner(path) is None
