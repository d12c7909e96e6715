"""A service ends with a reason when a process of Ray's has ended, whatever its main thread waits for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from support.commands import environment

# A real child stands in for Ray's: the main thread waits for it as it waits in a call of Ray's that never returns.
_PROGRAM: Final = """
import subprocess, sys, threading
from pathlib import Path
from athanor.serving.hosting import running
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.telemetry.logs import open_log

folder, is_killed = Path(sys.argv[1]), sys.argv[2] == "killed"
paths, scratch = ServicePaths(folder, "delays"), folder / "scratch"
scratch.mkdir(parents=True)
paths.state.write_text("{}")
open_log(paths.log)
child = subprocess.Popen(["sleep", "600"])

class Node:
    def find_ended(self):
        return ["raylet"] if child.poll() is not None else []

    def stop(self, *, graceful):
        (folder / "stopped").write_text(str(graceful))

with running._ending_with(Node(), paths, scratch):
    if is_killed:
        child.kill()
        threading.Event().wait()
child.kill()
child.wait()
"""


@pytest.mark.parametrize("is_killed", [True, False])
def test_it_ends_when_a_process_of_rays_has_ended_and_only_then(tmp_path: Path, is_killed: bool) -> None:
    folder = tmp_path / "service"
    command = [sys.executable, "-c", _PROGRAM, str(folder), "killed" if is_killed else "left"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    log = folder / "delays.log"
    if not is_killed:
        assert (done.returncode, log.exists(), (folder / "scratch").is_dir()) == (0, False, True), done.stderr
        return
    assert done.returncode == 1, done.stderr
    assert "SERVICE_FAILED Ray's raylet ended; start the service again" in done.stderr
    (line,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert (line["level"], line["message"]) == (
        "critical",
        "the service ends: Ray's raylet ended; start the service again",
    )
    assert (folder / "stopped").read_text() == "False"
    assert not (folder / "scratch").exists()
    assert not (folder / "delays.json").exists()
