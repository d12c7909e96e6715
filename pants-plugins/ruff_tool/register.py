"""Ruff lints, fixes and formats Python files, and formats BUILD files."""

from __future__ import annotations

from collections.abc import Iterable

from pants.backend.python.lint.ruff import skip_field, subsystem
from pants.engine.rules import Rule
from pants.engine.unions import UnionRule

from ruff_tool import rules as ruff_rules


def rules() -> Iterable[Rule | UnionRule]:
    return (*ruff_rules.rules(), *subsystem.rules(), *skip_field.rules())
