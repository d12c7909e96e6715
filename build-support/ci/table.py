"""Edits with more, or less, effect than Pants' dependencies show: the one table of them."""

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
        """Whether the rule covers an edit of this path."""
        return _is_any(path, self.patterns) and not _is_any(path, self.but)


# Pants knows the dependencies of code, but not of its own parts and configuration.
RULES = (
    Rule(("pants", "3rdparty/tools/pants.lock", "3rdparty/tools/pex.lock"), ALL, "installs Pants"),
    Rule(("pants.toml", "pants.ci.toml"), ALL, "configures Pants"),
    Rule((".gitignore",), ALL, "hides files from Pants"),
    Rule(
        ("pants-plugins/*", "3rdparty/tools/pants-plugins.lock"),
        ALL,
        "is part of Pants",
        but=("*_test.py", "*.md", "*/BUILD"),
    ),
    Rule((".ci/*", "build-support/ci/*"), ALL, "decides what runs", but=("*_test.py", "*.md", "*/BUILD")),
    Rule(("pytest.ini", "3rdparty/tools/pytest.lock"), frozenset({"test"}), "configures every test"),
    Rule(("build-support/postgresql/*",), frozenset({"test"}), "provides the tests' server"),
    Rule(("mypy.ini", "3rdparty/tools/mypy.lock"), frozenset({"check"}), "configures every type check"),
    Rule(("ruff.toml", "3rdparty/tools/ruff.lock"), frozenset({"lint"}), "configures every lint"),
)


@dataclass(frozen=True)
class Resolve:
    """A lock of code. An edit selects the dependents of the requirements that it affects: see requirements.py.

    Attributes:
        generator: target that generates one target for each requirement.
        readers: specs of targets that depend on the text of the lock or of the requirements file.
        generating: requirements that generate the code of each `protobuf_source`, unseen by its dependencies.
    """

    lock: str
    requirements: str
    generator: str
    readers: tuple[str, ...]
    generating: frozenset[str] = frozenset()


RESOLVES = (
    Resolve(
        "3rdparty/python/default.lock",
        "3rdparty/python/requirements.txt",
        "3rdparty/python:requirements",
        # Training only records the lock's digest: of its dependents, this test alone can notice the lock's text.
        ("3rdparty/python:locks", "tests/training/train/provenance_test.py:tests"),
        # As in pants-plugins/protobuf_codegen/subsystem.py.
        frozenset({"grpcio-tools", "mypy-protobuf"}),
    ),
    *(
        Resolve(f"{stem}.lock", f"{stem}.txt", f"{folder}:{name}-requirements", (f"{folder}:locks",))
        for folder, name in (
            ("3rdparty/benchmarks", "data-peers"),
            ("3rdparty/benchmarks", "serving-peers"),
            ("3rdparty/tests", "serving-clients"),
        )
        for stem in (f"{folder}/{name}",)
    ),
)

# They select nothing, unless a target owns them.
DOCUMENTS = ("*.md", "docs/*", "LICENSE", ".github/*")


def find_rule(path: str) -> Rule | None:
    """The first rule that covers a path; None if Pants' dependencies suffice."""
    return next((rule for rule in RULES if rule.matches(path)), None)


def is_document(path: str) -> bool:
    """Whether an edit of this path, if no target owns it, has no effect."""
    return _is_any(path, DOCUMENTS)


def _is_any(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
