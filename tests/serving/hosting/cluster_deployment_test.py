"""What a deployment changes on a cluster's head: a real one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from support import commands
from support.processes import nothing_survives
from support.ray_heads import RayHead, run_ray_head

from athanor.cluster.haproxy.rules import DoorLimits, make_rules
from athanor.cluster.ray_environment import HAPROXY_VARIABLE

_BOUND: Final = """
import sys
from pathlib import Path
from athanor.cluster.addresses import Address
from athanor.cluster.joining import joined_ray
from athanor.cluster.ray_environment import DATA
from athanor.errors import AthanorError
from athanor.serving.hosting.cluster_deployment import bound_doors
from athanor.serving.setup.settings import make_settings

try:
    with joined_ray(Address.parse(sys.argv[1]), Path(sys.argv[2]), DATA):
        for insecure in (False, True):
            bound_doors(
                make_settings(
                    service="delays", models=("delays",), store="/none", folder=Path("/none"), insecure=insecure,
                    max_deadline_s=7, max_connections=128, max_connections_per_address=77,
                )
            )
            print(Path(sys.argv[3]).read_text())
except AthanorError as error:
    print(error)
    raise SystemExit(error.exit_status)
"""


def _bound(head: RayHead, rules: Path) -> "subprocess.CompletedProcess[str]":
    """A process of its own: Ray reads the environment once."""
    command = [sys.executable, "-c", _BOUND, head.address, str(head.token), str(rules)]
    return subprocess.run(command, env=commands.environment(), capture_output=True, text=True, timeout=110, check=False)


def test_the_doors_of_a_cluster_have_the_bounds_that_deploy_was_given(tmp_path: Path) -> None:
    with nothing_survives(), run_ray_head(variables={HAPROXY_VARIABLE: str(tmp_path / "haproxy")}) as head:
        done = _bound(head, tmp_path / "haproxy.json")
    assert done.returncode == 0, done.stderr
    closed, opened = map(json.loads, done.stdout.splitlines())
    for rules, requires_token in ((closed, True), (opened, False)):
        limits = DoorLimits(128, 77, 7.0, requires_token=requires_token)
        assert rules == json.loads(json.dumps(make_rules(limits)._asdict()))


def test_a_head_without_our_doors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HAPROXY_VARIABLE, raising=False)
    with nothing_survives(), run_ray_head() as head:
        done = _bound(head, tmp_path / "haproxy.json")
    assert (done.returncode, done.stdout) == (
        2,
        "the cluster's head runs a Ray without our doors; start it by `serve node --head`\n",
    )
