"""The folder of tools becomes the default of Pants' options."""

from __future__ import annotations

from pathlib import Path

import pytest
from pants.backend.python.subsystems.setup import PythonSetup
from pants.backend.python.util_rules import pex_cli
from pants.backend.python.util_rules.pex_cli import PexCli
from pants.core.subsystems import python_bootstrap
from pants.core.subsystems.python_bootstrap import PythonBootstrap
from pants.engine.platform import Platform
from pants.testutil.rule_runner import QueryRule, RuleRunner

from local_tools.pex_file import pex_version
from local_tools.register import set_defaults
from local_tools.tools import Tools


def test_pants_takes_the_pex_tool_and_the_interpreters_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("default_version", "default_url_template", "default_known_versions"):
        monkeypatch.setattr(PexCli, name, getattr(PexCli, name))  # as it was, after the test
    monkeypatch.setattr(PythonSetup, "pip_version", vars(PythonSetup)["pip_version"])
    tools = Tools(tmp_path)
    (tmp_path / "pex.digest").write_text(f"{'0' * 64}|3")
    set_defaults(tools)
    runner = RuleRunner(
        rules=[
            *pex_cli.rules(),
            *python_bootstrap.rules(),
            QueryRule(PexCli, []),
            QueryRule(Platform, []),
            QueryRule(PythonBootstrap, []),
            QueryRule(PythonSetup, []),
        ]
    )
    request = runner.request(PexCli, []).get_request(runner.request(Platform, [])).download_file_request
    assert request.url == tools.pex.as_uri()
    assert request.expected_digest.serialized_bytes_length == 3
    assert runner.request(PexCli, []).version == f"v{pex_version()}"
    assert runner.request(PythonSetup, []).pip_version.value == "26.2"
    assert runner.request(PythonBootstrap, []).interpreter_search_paths == (str(tools.interpreters),)
