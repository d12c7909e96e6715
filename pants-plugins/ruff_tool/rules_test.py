"""Command lines, and the handling of their results. Ruff itself runs at every lint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.core.util_rules.config_files import ConfigFiles, ConfigFilesRequest
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.fs import (
    EMPTY_DIGEST,
    EMPTY_SNAPSHOT,
    CreateDigest,
    Digest,
    DigestContents,
    FileContent,
    MergeDigests,
    Snapshot,
)
from pants.engine.process import FallibleProcessResult, ProcessResult
from pants.testutil.rule_runner import MockGet, run_rule_with_mocks

from ruff_tool import rules
from ruff_tool.rules import RuffFixRequest, RuffFormatBuildFileRequest, RuffFormatRequest, RuffLintRequest

CHANGED = Digest("0" * 64, 1)


def run(rule: Any, request: object, *, exit_code: int = 0, output: Digest = EMPTY_DIGEST) -> tuple[Any, str]:
    """The result and the command line of a rule, when Ruff exits with this code and leaves these files."""
    command_lines = []

    def ruff(process: VenvPexProcess) -> Mock:
        command_lines.append(" ".join(process.argv))
        return Mock(exit_code=exit_code, stdout=b"found", stderr=b"", output_digest=output)

    answers: dict[tuple[type, type], Callable[[Any], object]] = {
        (VenvPex, PexRequest): lambda _: Mock(),
        (ConfigFiles, ConfigFilesRequest): lambda _: ConfigFiles(EMPTY_SNAPSHOT),
        (SourceFiles, SourceFilesRequest): lambda _: SourceFiles(EMPTY_SNAPSHOT, ()),
        (Digest, MergeDigests): lambda _: EMPTY_DIGEST,
        (Snapshot, CreateDigest): lambda _: EMPTY_SNAPSHOT,
        (Snapshot, Digest): lambda digest: Mock(digest=digest),
        (DigestContents, Digest): lambda _: DigestContents([FileContent("BUILD", b"formatted()\n")]),
        (FallibleProcessResult, VenvPexProcess): ruff,
        (ProcessResult, VenvPexProcess): ruff,
    }
    ruff_options = Mock(config=None, args=("--quiet",))
    ruff_options.to_pex_request.return_value = PexRequest(output_filename="ruff.pex", internal_only=True)
    ruff_options.config_request.return_value = ConfigFilesRequest()
    questions = [(get.output_type, get.input_types[0]) for get in rule.rule.input_gets]
    result = run_rule_with_mocks(
        rule,
        rule_args=[request, ruff_options],
        mock_gets=[MockGet(output, (input_,), answers[output, input_]) for output, input_ in questions],
    )
    return result, command_lines[0]


@pytest.mark.parametrize("exit_code", [0, 1])
def test_lint_reports_what_ruff_found(exit_code: int) -> None:
    request: Any = RuffLintRequest.Batch("ruff", (), Mock(description=None))
    result, command_line = run(rules.lint, request, exit_code=exit_code)
    assert (result.exit_code, result.stdout) == (exit_code, "found")
    assert command_line == "check --no-cache --quiet"


@pytest.mark.parametrize("output", [EMPTY_DIGEST, CHANGED])
@pytest.mark.parametrize(
    ("rule", "request_type", "expected"),
    [
        (rules.fix, RuffFixRequest, "check --fix --exit-zero --no-cache --quiet"),
        (rules.fmt, RuffFormatRequest, "format --no-cache --quiet"),
    ],
)
def test_fix_and_fmt_give_back_the_files(rule: Any, request_type: Any, expected: str, output: Digest) -> None:
    result, command_line = run(rule, request_type.Batch("ruff", (), None, EMPTY_SNAPSHOT), output=output)
    assert result.output.digest == output
    assert command_line == expected


@pytest.mark.parametrize(("output", "changes"), [(EMPTY_DIGEST, ()), (CHANGED, ("Format with Ruff",))])
def test_a_build_file_is_rewritten_only_if_it_changes(output: Digest, changes: tuple[str, ...]) -> None:
    request = RuffFormatBuildFileRequest("BUILD", ("formatted( )",), colors_enabled=False)
    result, command_line = run(rules.fmt_build_file, request, output=output)
    assert (result.lines, result.change_descriptions) == (("formatted()",), changes)
    assert command_line == "format --no-cache --quiet"
