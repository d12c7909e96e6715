"""Commands of the layer `monitoring`."""

from datetime import datetime
from typing import Annotated

import typer

from athanor.cli.terminal import HomeOption, JsonOption, ProjectArgument, listing, make_app, show, watch
from athanor.errors import GateError
from athanor.home import Home
from athanor.projects import load

app = make_app("monitor", "Whether what comes in still looks like what a release was trained on.")


@app.command()
def drift(
    project: ProjectArgument,
    since: Annotated[datetime, typer.Option(help="First event time, UTC.")],
    until: Annotated[datetime, typer.Option(help="End of the event times, UTC, exclusive.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare a time slice of the latest snapshot with the champion's reference profile. Exit status 3 on drift."""
    import numpy as np

    from athanor.data.snapshot import find_snapshot, read_snapshot
    from athanor.features.features import Model
    from athanor.monitoring.drift import measure_drift
    from athanor.release.store import ReleaseStore

    place, model = Home.find(home), load(project, "model", Model)
    store = ReleaseStore(place.store)
    release = store.read(project, store.read_traffic(project).champion.digest)
    with watch() as progress, progress.step("Measure drift") as advance:
        columns = read_snapshot(model.contract, place.datasets, find_snapshot(project, place.datasets))
        times = columns[model.contract.event_time.name]
        begin, end = (np.datetime64(moment.replace(tzinfo=None), "us") for moment in (since, until))
        chosen = (times >= begin) & (times < end)
        found = measure_drift(model.contract, release, {name: values[chosen] for name, values in columns.items()})
        advance(f"{chosen.sum():,} rows")
    rows = [(d.column, f"{d.index:.3f}", f"{d.budget:g}", "yes" if d.has_drifted else "no") for d in found]
    title = f"Drift of {chosen.sum():,} rows of {project} from release {release.digest[:12]}"
    header = ("column", "population stability index", "budget", "drifted")
    show(found, json, lambda: listing(title, header, rows))
    if drifted := [d.column for d in found if d.has_drifted]:
        raise GateError(f"drifted beyond the contract's budget: {', '.join(drifted)}")
