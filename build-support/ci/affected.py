"""Lints, checks, tests and packages what a change affects, on a laptop as in CI. See `--help`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ci.graph import PantsError
from ci.plan import EVERYTHING, Plan, plan_everything, plan_since
from ci.table import GOALS

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """0: all passed or there was nothing to do; 1: a goal failed."""
    options = _parse(arguments)
    try:
        plan = plan_everything(root, "--all was given") if options.all else plan_since(root, options.since)
        _warn(plan)
        if options.dry_run:
            print(json.dumps(describe(plan, brief=options.brief), indent=2) if options.json else summary(plan))
            return 0
    except PantsError as error:
        print(f"affected: {error}", file=sys.stderr)
        return 1
    print(summary(plan), flush=True)
    failed = [goal for goal in options.only or GOALS if not run(plan, goal)]
    print(f"affected: failed: {', '.join(failed)}" if failed else "affected: all passed", flush=True)
    return 1 if failed else 0


def describe(plan: Plan, *, brief: bool = False) -> dict[str, object]:
    """A plan for machines. A brief one has `::` for all targets of a goal, which saves asking Pants for their names."""
    unnamed = plan.whole if brief else frozenset()
    return {
        "base": plan.base,
        "everything": plan.everything,
        "reason": "; ".join(plan.reasons) or None,
        "whole": [goal for goal in GOALS if goal in plan.whole],
        "tests": list(EVERYTHING if "test" in unnamed else plan.tests),
        "packages": list(EVERYTHING if "package" in unnamed else plan.packages),
    }


def summary(plan: Plan) -> str:
    """A plan for people."""
    since = f"since {plan.base[:12]}" if plan.base else "of the whole repository"
    counted = "everything" if plan.everything else f"{len(plan.tests)} test files, {len(plan.packages)} packages"
    return "\n".join((f"affected {since}: {counted}", *(f"  {reason}" for reason in plan.reasons)))


def run(plan: Plan, goal: str) -> bool:
    """Runs one goal on its targets in a plan; True if it passed."""
    specs = plan.specs(goal)
    if not specs:
        print(f"affected: nothing to {goal}", flush=True)
        return True
    with tempfile.NamedTemporaryFile("w", prefix="affected-", suffix=".specs") as file:
        file.write("\n".join(specs))  # there may be more than a command line holds
        file.flush()
        command: list[str | Path] = [
            *_beside(plan.root, goal),
            plan.root / "pants",
            *_left_out(goal),
            f"--spec-files={file.name}",
            goal,
        ]
        return subprocess.run(command, cwd=plan.root, check=False).returncode == 0


def _beside(root: Path, goal: str) -> tuple[Path, ...]:
    """Prefix that runs tests beside PostgreSQL, where it is installed: tests that need it are otherwise skipped."""
    servers = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return (root / "build-support/postgresql/with-postgresql",) if goal == "test" and any(servers) else ()


def _left_out(goal: str) -> tuple[str, ...]:
    """The option that leaves images out where no engine could build them; says so."""
    if goal != "package" or _has_engine():
        return ()
    print("affected: images are left out, since no container engine answers `docker version`", flush=True)
    return ("--tag=-image",)


def _has_engine() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "version"], check=False, capture_output=True).returncode == 0


def _warn(plan: Plan) -> None:
    if not plan.lost:
        return
    message = f"the base is unknown, so everything runs: {plan.reasons[0]}"
    print(f"affected: WARNING: {message}", file=sys.stderr, flush=True)
    if "GITHUB_ACTIONS" in os.environ:
        print(f"::warning title=Base not found::{message}", file=sys.stderr, flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./pants affected", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--since", metavar="REF", help="commit, branch or tag where the change began (default: the trunk)"
    )
    what.add_argument("--all", action="store_true", help="everything, changed or not")
    parser.add_argument("--only", action="append", choices=GOALS, help="run only this goal; repeatable")
    parser.add_argument("--dry-run", action="store_true", help="print what would run, and why")
    parser.add_argument("--json", action="store_true", help="with --dry-run: for machines")
    parser.add_argument("--brief", action="store_true", help="with --json: `::` instead of all names")
    options = parser.parse_args(arguments)
    if options.brief and not options.json:
        parser.error("--brief needs --json")
    if options.json and not options.dry_run:
        parser.error("--json needs --dry-run")
    return options


if __name__ == "__main__":
    sys.exit(main())
