"""The two linters of workflows in the goal lint. Neither needs a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pants.backend.python.target_types import ConsoleScript
from pants.backend.python.util_rules import pex
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.backend.python.util_rules.pex_requirements import PexRequirements, Resolve
from pants.core.goals.lint import LintResult, LintTargetsRequest
from pants.core.util_rules import source_files
from pants.core.util_rules.partitions import PartitionerType
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.process import FallibleProcessResult
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule
from pants.engine.target import FieldSet
from pants.util.strutil import pluralize

from workflow_lint.subsystem import CheckJsonschema, Zizmor
from workflow_lint.targets import WorkflowsSourcesField

SCHEMA = ("--builtin-schema=vendor.github-workflows",)
# A workflow that cannot be read is a finding, not a warning.
OFFLINE = ("--offline", "--no-progress", "--strict-collection")


@dataclass(frozen=True)
class WorkflowsFieldSet(FieldSet):
    required_fields = (WorkflowsSourcesField,)

    sources: WorkflowsSourcesField


class ZizmorRequest(LintTargetsRequest):
    field_set_type = WorkflowsFieldSet
    tool_subsystem = Zizmor  # type: ignore[assignment]  # as in every backend of Pants
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION


class CheckJsonschemaRequest(LintTargetsRequest):
    field_set_type = WorkflowsFieldSet
    tool_subsystem = CheckJsonschema  # type: ignore[assignment]  # as in every backend of Pants
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION


async def _prepare(
    field_sets: Iterable[WorkflowsFieldSet], tool: str, resolve: str, arguments: tuple[str, ...]
) -> VenvPexProcess:
    """One run of a linter, from its lock, on the workflows of some targets."""
    requirements = PexRequirements(
        from_superset=Resolve(resolve, use_entire_lockfile=True), description_of_origin=f"the linter {tool}"
    )
    linter, workflows = await MultiGet(
        Get(
            VenvPex,
            PexRequest(
                output_filename=f"{tool}.pex",
                internal_only=True,
                requirements=requirements,
                main=ConsoleScript(tool),
            ),
        ),
        Get(SourceFiles, SourceFilesRequest(field_set.sources for field_set in field_sets)),
    )
    return VenvPexProcess(
        linter,
        argv=(*arguments, *workflows.files),
        input_digest=workflows.snapshot.digest,
        description=f"Run {tool} on {pluralize(len(workflows.files), 'workflow')}.",
    )


@rule(desc="Lint with zizmor")
async def run_zizmor(request: ZizmorRequest.Batch[WorkflowsFieldSet, Any], options: Zizmor) -> LintResult:
    process = await _prepare(request.elements, "zizmor", options.install_from_resolve, (*OFFLINE, *options.args))
    result = await Get(FallibleProcessResult, VenvPexProcess, process)
    return LintResult.create(request, result, strip_chroot_path=True)


@rule(desc="Lint with check-jsonschema")
async def run_check_jsonschema(
    request: CheckJsonschemaRequest.Batch[WorkflowsFieldSet, Any], options: CheckJsonschema
) -> LintResult:
    arguments = (*SCHEMA, *options.args)
    process = await _prepare(request.elements, "check-jsonschema", options.install_from_resolve, arguments)
    result = await Get(FallibleProcessResult, VenvPexProcess, process)
    return LintResult.create(request, result, strip_chroot_path=True)


def rules() -> Iterable[Rule | object]:
    return (
        *collect_rules(),
        *ZizmorRequest.rules(),
        *CheckJsonschemaRequest.rules(),
        *pex.rules(),
        *source_files.rules(),
    )
