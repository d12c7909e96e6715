"""Ruff in the goals lint, fix, fmt and update-build-files.

Options, `skip_ruff` and the discovery of `ruff.toml` come from the stock backend. Its rules are not used: they run
Ruff without a subcommand, which newer versions refuse, and they do not format.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pants.backend.python.lint.ruff.subsystem import Ruff, RuffFieldSet
from pants.backend.python.util_rules import pex
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.core.goals.fix import FixResult, FixTargetsRequest
from pants.core.goals.fmt import FmtResult, FmtTargetsRequest
from pants.core.goals.lint import LintResult, LintTargetsRequest
from pants.core.goals.update_build_files import RewrittenBuildFile, RewrittenBuildFileRequest
from pants.core.util_rules.config_files import ConfigFiles, ConfigFilesRequest
from pants.core.util_rules.partitions import PartitionerType
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.fs import CreateDigest, Digest, DigestContents, MergeDigests, Snapshot
from pants.engine.process import FallibleProcessResult, ProcessResult
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule
from pants.engine.unions import UnionRule
from pants.util.meta import classproperty
from pants.util.strutil import pluralize


class RuffLintRequest(LintTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff  # type: ignore[assignment]  # as in every backend of Pants
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION


class RuffFixRequest(FixTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff  # type: ignore[assignment]  # as in every backend of Pants
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff check --fix"


class RuffFormatRequest(FmtTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff  # type: ignore[assignment]  # as in every backend of Pants
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff format"


class RuffFormatBuildFileRequest(RewrittenBuildFileRequest):
    pass


async def _prepare(command: tuple[str, ...], files: Snapshot, ruff: Ruff) -> VenvPexProcess:
    """One run of Ruff with a subcommand, on files that it may change."""
    tool, config = await MultiGet(
        Get(VenvPex, PexRequest, ruff.to_pex_request()),
        Get(ConfigFiles, ConfigFilesRequest, ruff.config_request(files.dirs)),
    )
    sources = await Get(Digest, MergeDigests((files.digest, config.snapshot.digest)))
    config_argument = (f"--config={ruff.config}",) if ruff.config else ()
    return VenvPexProcess(
        tool,
        # Pants caches results itself, and a sandbox's folder does not outlive the sandbox.
        argv=(*command, "--no-cache", *config_argument, *ruff.args, *files.files),
        input_digest=sources,
        output_files=files.files,
        description=f"Run ruff {' '.join(command)} on {pluralize(len(files.files), 'file')}.",
    )


@rule(desc="Lint with Ruff")
async def lint(request: RuffLintRequest.Batch[RuffFieldSet, Any], ruff: Ruff) -> LintResult:
    sources = await Get(SourceFiles, SourceFilesRequest(field_set.source for field_set in request.elements))
    process = await _prepare(("check",), sources.snapshot, ruff)
    result = await Get(FallibleProcessResult, VenvPexProcess, process)
    return LintResult.create(request, result, strip_chroot_path=True)


@rule(desc="Fix with Ruff")
async def fix(request: RuffFixRequest.Batch, ruff: Ruff) -> FixResult:
    # `lint` reports the rest; it must not stop the other fixes.
    process = await _prepare(("check", "--fix", "--exit-zero"), request.snapshot, ruff)
    result = await Get(ProcessResult, VenvPexProcess, process)
    return await FixResult.create(request, result, strip_chroot_path=True)


@rule(desc="Format with Ruff")
async def fmt(request: RuffFormatRequest.Batch, ruff: Ruff) -> FmtResult:
    process = await _prepare(("format",), request.snapshot, ruff)
    result = await Get(ProcessResult, VenvPexProcess, process)
    return await FmtResult.create(request, result, strip_chroot_path=True)


@rule(desc="Format a BUILD file with Ruff")
async def fmt_build_file(request: RuffFormatBuildFileRequest, ruff: Ruff) -> RewrittenBuildFile:
    before = await Get(Snapshot, CreateDigest([request.to_file_content()]))
    process = await _prepare(("format",), before, ruff)
    result = await Get(ProcessResult, VenvPexProcess, process)
    (after,) = await Get(DigestContents, Digest, result.output_digest)
    changes = ("Format with Ruff",) if result.output_digest != before.digest else ()
    return RewrittenBuildFile(request.path, tuple(after.content.decode().splitlines()), changes)


def rules() -> Iterable[Rule | UnionRule]:
    return (
        *collect_rules(),
        *RuffLintRequest.rules(),
        *RuffFixRequest.rules(),
        *RuffFormatRequest.rules(),
        UnionRule(RewrittenBuildFileRequest, RuffFormatBuildFileRequest),
        *pex.rules(),
    )
