"""The target that owns workflows."""

from __future__ import annotations

from pants.engine.target import COMMON_TARGET_FIELDS, MultipleSourcesField, Target
from pants.util.strutil import help_text


class WorkflowsSourcesField(MultipleSourcesField):
    help = help_text("The workflows; by default all of the folder.")
    default = ("*.yaml", "*.yml")
    expected_file_extensions = (".yaml", ".yml")
    uses_source_roots = False


class WorkflowsTarget(Target):
    alias = "workflows"
    core_fields = (*COMMON_TARGET_FIELDS, WorkflowsSourcesField)
    help = help_text("The workflows of GitHub Actions in a folder, for the goal `lint`.")
