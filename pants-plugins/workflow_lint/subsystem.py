"""The options of the linters."""

from __future__ import annotations

from pants.option.option_types import ArgsListOption, SkipOption, StrOption
from pants.option.subsystem import Subsystem


# A plain subsystem: Pants' base class for Python tools wants a lock of the tool's own inside the plugin.
class _WorkflowLinter(Subsystem):
    skip = SkipOption("lint")
    install_from_resolve = StrOption(default="workflows", help="The resolve whose whole lock is installed.")


class Zizmor(_WorkflowLinter):
    options_scope = "zizmor"
    name = "zizmor"
    help = "What an attacker could use in a workflow."

    args = ArgsListOption(example="--persona=pedantic")


class CheckJsonschema(_WorkflowLinter):
    options_scope = "check-jsonschema"
    name = "check-jsonschema"
    help = "Whether a workflow is one: keys, types and values, by the schema that the tool carries."

    args = ArgsListOption(example="--verbose")
