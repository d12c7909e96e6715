"""Which edits say more, or less, than Pants' dependencies: the one place where this is decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

GOALS = ("lint", "check", "test", "package")
ALL = frozenset(GOALS)


@dataclass(frozen=True)
class Rule:
    """Edits of these paths select all targets of these goals, for this reason. A `*` crosses folders."""

    patterns: tuple[str, ...]
    goals: frozenset[str]
    reason: str
    but: tuple[str, ...] = ()

    def matches(self, path: str) -> bool:
        """Whether an edit of this path is what the rule is about."""
        return _is_any(path, self.patterns) and not _is_any(path, self.but)


# Pants knows which code depends on which. What it does not see is what it is itself made of, and told.
RULES = (
    Rule(("pants", "3rdparty/tools/pants.lock", "3rdparty/tools/pex.lock"), ALL, "installs Pants"),
    Rule(("pants.toml", "pants.ci.toml"), ALL, "says how Pants does everything"),
    Rule((".gitignore",), ALL, "says which files Pants sees"),
    Rule(
        ("pants-plugins/*", "3rdparty/tools/pants-plugins.lock"),
        ALL,
        "is part of Pants here",
        but=("*_test.py", "*.md", "*/BUILD"),
    ),
    Rule((".ci/*", "build-support/ci/*"), ALL, "decides what is run", but=("*_test.py", "*.md", "*/BUILD")),
    Rule(("pytest.ini", "3rdparty/tools/pytest.lock"), frozenset({"test"}), "every test runs with it"),
    Rule(("build-support/postgresql/*",), frozenset({"test"}), "tests run beside its server"),
    Rule(("mypy.ini", "3rdparty/tools/mypy.lock"), frozenset({"check"}), "every type is checked with it"),
    Rule(("ruff.toml", "3rdparty/tools/ruff.lock"), frozenset({"lint"}), "every file is linted with it"),
)

# They select nothing, unless a BUILD file makes one of them a part of something.
DOCUMENTS = ("*.md", "docs/*", "LICENSE", ".github/*")


def find_rule(path: str) -> Rule | None:
    """The first rule about a path; None where Pants knows best."""
    return next((rule for rule in RULES if rule.matches(path)), None)


def is_document(path: str) -> bool:
    """Whether a path that belongs to no target may be edited without any effect."""
    return _is_any(path, DOCUMENTS)


def _is_any(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
