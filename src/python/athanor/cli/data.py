"""Command-line app of the layer `data`: from raw tables to snapshots."""

from dataclasses import asdict

from athanor.cli.terminal import HomeOption, JsonOption, ProjectArgument, facts, listing, make_app, run, show, watch
from athanor.home import Home
from athanor.projects import load

app = make_app("data", "Raw tables to validated, immutable snapshots.")


@app.command()
def build(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Ingest, clean, validate and commit a project's data. Unchanged data makes no second version."""
    from athanor.data.build import build_snapshot
    from athanor.data.source import Source
    from athanor.features.features import Model

    model, source = load(project, "model", Model), load(project, "source", Source)
    with watch() as progress:
        snapshot, is_new = build_snapshot(model.contract, source, Home.find(home), progress)
    rows = {**asdict(snapshot), "new": is_new}
    show(rows, json, lambda: facts(f"Snapshot of {project}", rows))


@app.command()
def log(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the versions of a project's dataset, newest first."""
    from athanor.data.snapshot import list_snapshots

    found = list_snapshots(project, Home.find(home).datasets)
    header = ("version", "rows", "set aside", "digest", "made")
    rows = [(s.version, s.rows_out, s.rows_in - s.rows_out, s.digest[:12], s.created_at) for s in found]
    show(found, json, lambda: listing(f"Snapshots of {project}", header, rows))


def main() -> None:
    run(app)


if __name__ == "__main__":
    main()
