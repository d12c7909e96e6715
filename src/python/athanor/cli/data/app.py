"""Command-line app of the layer `data`: build snapshots from raw tables, list, compare, restore and remove them."""

import math
import re
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Group

from athanor.cli.data import reports
from athanor.cli.data.jobs import (
    AsOfOption,
    EngineChoice,
    EngineName,
    EngineOption,
    FullOption,
    dataset_of,
    load_job,
    make_options,
)
from athanor.cli.shared.clusters import AddressOption, RayTokenOption
from athanor.cli.shared.terminal import (
    HomeOption,
    JsonOption,
    ProjectArgument,
    facts,
    listing,
    make_app,
    run_program,
    show,
    watch,
)
from athanor.errors import SettingsError
from athanor.home import Home

app = make_app("data", "Build validated, immutable snapshots from raw tables.")
app.command()(reports.validate)
app.command()(reports.profile)
app.command()(reports.drift)


WhyOption = Annotated[str, typer.Option(help="Reason, for the history.")]
VersionArgument = Annotated[int, typer.Argument(help="Version of the dataset; see `data log`.")]


@app.command()
def build(
    project: ProjectArgument,
    *,
    engine: EngineOption = EngineName.PANDAS,
    address: AddressOption = None,
    ray_token_file: RayTokenOption = None,
    full: FullOption = False,
    as_of: AsOfOption = None,
    why: WhyOption = "data build",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Ingest, transform, validate and commit a project's data. Unchanged data makes no new version."""
    from athanor.data.building.snapshot_build import build_snapshot

    job = load_job(project)
    with ExitStack() as stack:
        progress = stack.enter_context(watch())
        root, choice = Home.find(home), EngineChoice(engine, address, ray_token_file)
        options = make_options(stack, project, choice, root, is_full=full, as_of=as_of, why=why)
        built = build_snapshot(job.contract, job.dataset, root, progress, options)
    rows = {**asdict(built.snapshot), "new": built.is_new, "raw is new": built.is_raw_new}
    rows |= {note.rule: note.message for note in built.notes}
    if built.quarantine:
        rows["set aside rows"] = str(built.quarantine)
    show(rows, json, lambda: facts(f"Snapshot of {project}", rows))


@app.command()
def log(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the versions of a project's dataset, newest first."""
    from athanor.data.snapshots.snapshot import is_whole, list_snapshots

    folder = Home.find(home).datasets
    found = [{**asdict(s), "is_whole": is_whole(folder, s)} for s in list_snapshots(dataset_of(project), folder)]
    header = ("version", "parent", "rows", "rejected", "digest", "created", "by", "why")
    rows = [
        (
            s["version"],
            "" if s["parent"] is None else s["parent"],
            f"{s['rows_out']:,}",
            f"{sum(s['rejected'].values()):,}",
            s["digest"][:8],
            s["created_at"][:16].replace("T", " "),
            s["by"],
            s["why"] if s["is_whole"] else f"vacuumed; {s['why']}",
        )
        for s in found
    ]
    show(found, json, lambda: listing(f"Snapshots of {project}", header, rows))


@app.command(name="show")
def show_(
    project: ProjectArgument,
    version: Annotated[int | None, typer.Argument(help="Version of the dataset; the latest by default.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one version of the dataset."""
    from athanor.data.snapshots.snapshot import find_snapshot

    snapshot = find_snapshot(dataset_of(project), Home.find(home).datasets, version)
    rows = {name: value for name, value in asdict(snapshot).items() if value not in ("", None, {})}
    show(snapshot, json, lambda: facts(f"Snapshot {snapshot.version} of {project}", rows))


@app.command()
def diff(
    project: ProjectArgument,
    before: VersionArgument,
    after: VersionArgument,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two versions: columns, rows by key (whole rows without one), statistics."""
    from athanor.data.profiles.difference import compare
    from athanor.data.snapshots.snapshot import find_snapshot

    folder, contract = Home.find(home).datasets, load_job(project).contract
    with watch() as progress:
        sides = [find_snapshot(contract.name, folder, version) for version in (before, after)]
        found = compare(contract, folder, sides[0], sides[1], progress)
    schema = {
        **{name: f"added, {kind}" for name, kind in found.columns_added.items()},
        **{name: f"removed, {kind}" for name, kind in found.columns_removed.items()},
        **{name: f"{was} became {now}" for name, (was, now) in found.columns_retyped.items()},
    }
    header = ("column", "changed", "missing", "mean", "minimum", "maximum")
    columns = [
        (
            name,
            "-" if c.changed is None else f"{c.changed:,}",
            _pair(c.missing, ".2%"),
            *(_pair(p, ".4g") for p in (c.mean, c.minimum, c.maximum)),
        )
        for name, c in found.columns.items()
    ]
    tables = Group(
        facts(f"Rows of {project}, version {before} to {after}", {n: f"{c:,}" for n, c in found.rows.items()}),
        facts("Columns of only one version", schema or {"none": ""}),
        listing("Columns of both versions, before → after", header, columns),
    )
    show(found, json, lambda: tables)


def _pair(values: tuple[float, float], form: str) -> str:
    before, after = ("-" if math.isnan(value) else format(value, form) for value in values)
    return before if before == after else f"{before} → {after}"


@app.command()
def restore(
    project: ProjectArgument,
    version: VersionArgument,
    why: Annotated[str, typer.Option(help="Reason, for the history.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make an earlier version the latest, as a new version. Nothing is rewritten."""
    from athanor.data.snapshots.snapshot import restore as restore_version

    restored = restore_version(dataset_of(project), Home.find(home).datasets, version, why)
    show(restored, json, lambda: facts(f"Restored {project}", asdict(restored)))


@app.command()
def vacuum(
    project: ProjectArgument,
    keep: Annotated[str, typer.Option(help="Keep versions superseded for less than this: 30d, 12h.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Remove the files of old versions; never of the latest, nor of one that a release in the store was trained on."""
    from athanor.data.snapshots.snapshot import list_snapshots
    from athanor.data.snapshots.vacuum import vacuum as vacuum_versions
    from athanor.release.store import ReleaseStore

    root, dataset = Home.find(home), dataset_of(project)
    digests = {manifest.identity.snapshot for manifest in ReleaseStore(root.store_url).list_manifests(dataset)}
    used = {s.version for s in list_snapshots(dataset, root.datasets) if s.digest in digests}
    done = vacuum_versions(dataset, root.datasets, _read_age(keep), used, dry_run)
    rows = {
        "versions removed": ", ".join(map(str, done.versions)) or "none",
        "versions kept for a release": ", ".join(map(str, done.kept)) or "none",
        "files": done.files,
        "size": f"{done.bytes / 2**20:,.1f} MiB",
    }
    title = f"{'Would vacuum' if dry_run else 'Vacuumed'} {project}"
    show({**asdict(done), "dry_run": dry_run}, json, lambda: facts(title, rows))


def _read_age(text: str) -> timedelta:
    unit = {"d": "days", "h": "hours"}.get(text[-1:])
    if unit is None or not re.fullmatch(r"\d{1,6}", text[:-1]):
        raise SettingsError(f"--keep is {text!r}; give days or hours, such as 30d or 12h")
    return timedelta(**{unit: int(text[:-1])})


@app.command()
def quarantine(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the rejected rows of all ingests, by file and reason."""
    from athanor.data.checks.quarantine import list_quarantined

    found = list(list_quarantined(Home.find(home).quarantine / dataset_of(project)))
    rows = [(str(q.path), f"{q.rows:,}", ", ".join(f"{r}: {n:,}" for r, n in q.reasons.items())) for q in found]
    show(found, json, lambda: listing(f"Rejected rows of {project}", ("file", "rows", "reasons"), rows))


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
