"""Commands of the layer `monitoring`."""

from athanor.cli.data.reports import SinceOption, UntilOption, demand_no_drift, drift_table
from athanor.cli.shared.terminal import HomeOption, JsonOption, ProjectArgument, make_app, show, watch
from athanor.home import Home
from athanor.projects import load

app = make_app("monitor", "Compare new data with the data that a release was trained on.")


@app.command()
def drift(
    project: ProjectArgument,
    since: SinceOption = None,
    until: UntilOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the latest snapshot or a slice of time with the champion's reference profile. Exit status 3 on drift."""
    from athanor.data.profiles.references import parse_moment
    from athanor.data.snapshots.snapshot import find_snapshot, read_slice
    from athanor.features.features import Model
    from athanor.monitoring.drift import measure_release_drift
    from athanor.release.store import ReleaseStore

    root, contract = Home.find(home), load(project, "model", Model).contract
    store = ReleaseStore(root.store_url)
    release = store.read(contract.name, store.read_traffic(contract.name).require_champion().digest)
    with watch() as progress, progress.step("Measure drift") as advance:
        latest = find_snapshot(contract.name, root.datasets)
        rows = read_slice(
            contract, root.datasets, latest, *(parse_moment(end) if end else None for end in (since, until))
        )
        report = measure_release_drift(contract, release, rows)
        advance(f"{report.rows:,} rows")
    title = f"Drift of {report.rows:,} rows of {project} from release {release.digest[:12]}"
    show(report, json, lambda: drift_table(title, report))
    demand_no_drift(report)
