"""Two linters read the workflows of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.target import Target

from workflow_lint import rules as lint_rules
from workflow_lint.targets import WorkflowsTarget


def rules() -> Iterable[object]:
    return lint_rules.rules()


def target_types() -> Iterable[type[Target]]:
    return [WorkflowsTarget]
