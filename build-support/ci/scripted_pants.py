"""Replaces Pants in a scratch repository: as quick as git, with the targets of the repository's `targets.json`.

`targets.json` maps addresses to their kind, their sources (glob patterns) and the addresses they depend on. A goal is
written to the file that PANTS_LOG names, with its specs, and fails if a file of its name lies in the repository.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

Targets = dict[str, dict[str, list[str]]]


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.splitlines()


def _sources(targets: Targets, address: str) -> list[str]:
    files = [str(path) for path in Path().rglob("*") if path.is_file()]
    return sorted(file for file in files for pattern in targets[address]["sources"] if fnmatch(file, pattern))


def _with_dependents(targets: Targets, roots: set[str]) -> list[str]:
    found = set(roots)
    while more := {name for name, target in targets.items() if found & set(target["dependencies"])} - found:
        found |= more
    return sorted(found)


def _changed(targets: Targets, diffspec: str) -> list[str]:
    files = _git("diff-tree", "--no-commit-id", "--name-only", "-r", diffspec)
    build = {str(Path(file).parent) for file in files if Path(file).name == "BUILD"}
    owners = {name for name in targets if set(_sources(targets, name)) & set(files) or name.split(":")[0] in build}
    owners |= {name for name, target in targets.items() if _stands_for(target, files)}
    return _with_dependents(targets, owners)


def _stands_for(target: dict[str, list[str]], files: list[str]) -> bool:
    """Whether one of the files, there or not, is one of those for which a target stands."""
    return target["kind"] == ["python_tests"] and any(fnmatch(file, target["sources"][0]) for file in files)


def _named(targets: Targets, spec: str) -> list[str]:
    named = [name for name in targets if name == spec or (spec.endswith("::") and name.startswith(spec[:-2]))]
    return named or sys.exit(f"{spec} is not a target")


def _peek(targets: Targets, addresses: list[str]) -> str:
    return json.dumps(
        [
            {"address": name, "target_type": targets[name]["kind"][0], "sources": _sources(targets, name)}
            for name in addresses
        ]
    )


def main() -> int:
    """Answers `peek`, `--changed-diffspec=… peek` and `dependents`; notes down any other goal."""
    targets: Targets = json.loads(Path("targets.json").read_text())
    goal = next(argument for argument in sys.argv[1:] if not argument.startswith("-"))
    options = dict(argument.split("=", 1) for argument in sys.argv[1:] if argument.startswith("--") and "=" in argument)
    if goal == "peek":
        diffspec = options.get("--changed-diffspec")
        print(_peek(targets, _changed(targets, diffspec) if diffspec else sorted(targets)))
        return 0
    if goal == "dependents":
        specs = [argument for argument in sys.argv[1:] if argument != goal and not argument.startswith("-")]
        print("\n".join(_with_dependents(targets, {name for spec in specs for name in _named(targets, spec)})))
        return 0
    with Path(os.environ["PANTS_LOG"]).open("a") as log:
        tags = f" --tag={options['--tag']}" if "--tag" in options else ""
        log.write(f"{goal} {Path(options['--spec-files']).read_text().split()}{tags}\n")
    return int(Path(goal).exists())


if __name__ == "__main__":
    sys.exit(main())
