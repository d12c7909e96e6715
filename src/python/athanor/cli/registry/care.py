"""Maintenance of the registry: remove, check and repair, and MLflow's own pages."""

import secrets
import sys
from datetime import timedelta
from typing import Annotated, Final

import typer

from athanor.cli.registry.opening import ModelArgument
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, listing, show, watch
from athanor.home import Home

_UI_PORT: Final = 5000


def gc(
    project: ModelArgument,
    older_than: Annotated[int, typer.Option(min=0, help="Age in days; younger releases stay.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Remove releases that were never registered, and files of killed processes; never a registered version."""
    from athanor.cli.registry.models import find_candidate_models, find_models
    from athanor.registry.care.retention import collect
    from athanor.registry.registry import Registry

    root = Home.find(home)
    with watch() as progress, progress.step("Collect"):
        registry = Registry.open(root)
        models = {*find_models(registry, project), *find_candidate_models(root.candidates, project)}
        done = [collect(registry, root, model, timedelta(days=older_than), dry_run) for model in sorted(models)]
    candidates = [digest for each in done for digest in each.candidates]
    published = [digest for each in done for digest in each.published]
    registered = sum(each.registered for each in done)
    rows = {
        "candidates removed": "\n".join(candidates) or "none",
        "removed from the store": "\n".join(published) or "none",
        "registered and kept": registered,
    }
    title = f"{'Would remove from' if dry_run else 'Removed from'} {project}"
    result = {"candidates": candidates, "published": published, "registered": registered, "dry_run": dry_run}
    show(result, json, lambda: facts(title, rows))


def doctor(
    mend: Annotated[bool, typer.Option("--mend", help="Repair what can be repaired.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare versions, aliases, history, release store and traffic files. Exit status 1 if differences remain."""
    from athanor.registry.care.doctor import examine
    from athanor.registry.registry import Registry

    root = Home.find(home)
    with watch() as progress, progress.step("Examine"):
        found = examine(Registry.open(root), root.candidates, mend)
    left = [finding for finding in found if not finding.is_mended]
    rows = [
        (f.model, f.what, f.remedy or "none; repair it by hand", "repaired" if f.is_mended else "remains")
        for f in found
    ]
    title = f"{len(found)} differences, {len(left)} remain" if found else "No differences"
    header = ("model", "difference", "repair", "")
    show({"differences": found, "left": len(left)}, json, lambda: listing(title, header, rows))
    if left:
        raise typer.Exit(1)


def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = _UI_PORT,
    home: HomeOption = None,
) -> None:
    """Show trainings and versions in MLflow's own pages, read-only, until Ctrl-C. Prints their URL with its token."""
    from athanor.registry.registry import Registry
    from athanor.registry.tracking.server import serve

    with watch() as progress, progress.step("Open the registry"):
        settings = Registry.open(Home.find(home)).settings
    token = secrets.token_urlsafe(32)
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"http://{shown}:{port}/?token={token}")
    sys.stdout.flush()
    serve(settings, host, port, token)
