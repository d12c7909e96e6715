"""The real linters, from the lock's wheels, on good and bad workflows in a small repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.lint import LintResult
from pants.core.util_rules.partitions import Partitions
from pants.engine.addresses import Address
from pants.testutil.rule_runner import QueryRule, RuleRunner

from local_tools.register import set_up
from workflow_lint import register
from workflow_lint.rules import CheckJsonschemaRequest, WorkflowsFieldSet, ZizmorRequest
from workflow_lint.targets import WorkflowsTarget

GOOD = """
name: good
on: pull_request
permissions:
  contents: read
concurrency:
  group: good
jobs:
  greet:
    name: Greet
    runs-on: ubuntu-24.04
    steps:
      - run: echo hello
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract the wheels from the PEX that the BUILD file names: the lock's versions, without a network."""
    folder = tmp_path_factory.mktemp("wheels")
    built = "pants-plugins.workflow_lint"
    with tarfile.open(Path(built, "linters_archive.tar")) as archive:
        archive.extract(f"{built}/linters.pex", folder)
    env = {
        "PEX_TOOLS": "1",
        "PEX_PYTHON_PATH": str(set_up().interpreters),
        "PEX_ROOT": str(folder / "root"),
    }
    command = [sys.executable, str(folder / built / "linters.pex"), "repository", "extract", f"--dest-dir={folder}"]
    subprocess.run(command, env={**os.environ, **env}, check=True)
    return folder


@pytest.fixture(scope="module")
def runner(wheels: Path) -> RuleRunner:
    """Build Pants with our rules once: it takes seconds, and installs the linters once for all tests."""
    requests: tuple[Any, ...] = (ZizmorRequest, CheckJsonschemaRequest)
    runner = RuleRunner(
        rules=[*register.rules(), *(QueryRule(LintResult, [request.Batch]) for request in requests)],
        target_types=register.target_types(),
        bootstrap_args=["--pants-ignore=['!/.github/']"],
    )
    runner.set_options(
        [
            "--python-enable-resolves",
            "--python-resolves={'workflows': 'workflows.lock'}",
            "--python-resolves-to-interpreter-constraints={'workflows': ['CPython==3.11.*']}",
            "--python-default-resolve=workflows",
            "--python-repos-indexes=[]",
            "--zizmor-args=['--persona=pedantic']",
            f"--python-repos-find-links=['{wheels.as_uri()}']",
        ],
        env_inherit={"PATH"},
    )
    return runner


def lint(runner: RuleRunner, request_type: Any, workflow: str) -> tuple[int, str]:
    """Exit code and output of a linter on a workflow."""
    lock = Path("3rdparty/tools/workflows.lock").read_text()
    runner.write_files(
        {
            # A wheel extracted from a PEX has another hash than the original.
            "workflows.lock": re.sub(r" \\\n\s+--hash=\S+", "", lock),
            ".github/workflows/BUILD": "workflows()",
            ".github/workflows/ci.yaml": workflow,
        }
    )
    target = WorkflowsTarget({}, Address(".github/workflows"))
    (partition,) = Partitions.single_partition((WorkflowsFieldSet.create(target),))
    batch = request_type.Batch("", partition.elements, partition.metadata)
    result = runner.request(LintResult, [batch])
    return result.exit_code, result.stdout + result.stderr


@pytest.mark.parametrize("request_type", [ZizmorRequest, CheckJsonschemaRequest])
def test_a_good_workflow_passes(runner: RuleRunner, request_type: Any) -> None:
    exit_code, said = lint(runner, request_type, GOOD)
    assert exit_code == 0, said


@pytest.mark.parametrize(
    ("step", "finding"),
    [
        ("uses: actions/checkout@v4", "unpinned-uses"),
        ("run: echo ${{ github.event.pull_request.title }}", "template-injection"),
    ],
)
def test_zizmor_finds_what_an_attacker_could_use(runner: RuleRunner, step: str, finding: str) -> None:
    exit_code, said = lint(runner, ZizmorRequest, GOOD.replace("run: echo hello", step))
    assert exit_code != 0
    assert f"[{finding}]" in said
    assert ".github/workflows/ci.yaml:13" in said


def test_zizmor_wants_narrow_permissions(runner: RuleRunner) -> None:
    exit_code, said = lint(
        runner, ZizmorRequest, GOOD.replace("permissions:\n  contents: read", "permissions: write-all")
    )
    assert exit_code != 0
    assert "[excessive-permissions]" in said


@pytest.mark.parametrize(
    ("right", "wrong", "finding"),
    [
        ("run: echo", "ran: echo", "'uses' is a required property"),
        ("on: pull_request", "on: pull_requset", "'pull_requset'"),
        ("    runs-on: ubuntu-24.04\n", "", "'runs-on' is a required property"),
    ],
)
def test_the_schema_finds_what_is_no_workflow(runner: RuleRunner, right: str, wrong: str, finding: str) -> None:
    exit_code, said = lint(runner, CheckJsonschemaRequest, GOOD.replace(right, wrong))
    assert exit_code != 0
    assert finding in said
    assert ".github/workflows/ci.yaml" in said
