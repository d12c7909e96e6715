"""Command `athanor serve status`: what a service answers for, and by what."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Group

from athanor.cli.serving.services import ServiceArgument, find_service
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, listing, show

if TYPE_CHECKING:
    from athanor.serving.replica.status import ModelStatus, ReplicaStatus
    from athanor.serving.setup.paths import ServiceState

# Without a name: the app that it is added to takes its command.
app = typer.Typer()

_HEADER: Final = ("process", "model", "revision", "champion", "challenger", "shadow", "pinned", "failure")


@app.command()
def status(service: ServiceArgument = None, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show addresses, replicas and models of the service, and whether it answers.

    Exit status 2 without a service, 1 if it does not answer, a replica or a model fails or its files cannot be written.
    """
    from athanor.serving.hosting.probe import find_fault
    from athanor.serving.replica.status import StatusFolder
    from athanor.serving.setup.storage import find_storage_fault

    paths = find_service(service, home)
    state = paths.find()
    storage = find_storage_fault(paths)
    statuses = StatusFolder(paths.replicas)
    replicas, fault, failure = statuses.read(), find_fault(state), statuses.read_start_failure()
    result = {
        "service": state,
        "serving": fault is None,
        "fault": fault,
        "storage_fault": storage,
        "start_failure": failure and failure.model_dump(mode="json"),
        "replicas": [replica.model_dump(mode="json") for replica in replicas],
    }
    rows = {**describe(state), "log": paths.log, "answers": "yes" if fault is None else f"no: {fault}"}
    if storage:
        rows["storage"] = storage
    if failure:
        rows["last replica"] = f"did not start: {failure.reason}"
    models = list(_rows(replicas))
    show(result, json, lambda: Group(facts(f"Service {state.service}", rows), listing("Replicas", _HEADER, models)))
    if fault or storage or failure or any(model.failure for each in replicas for model in each.models.values()):
        raise typer.Exit(1)


def describe(state: "ServiceState") -> dict[str, object]:
    """What a service answers for, and where."""
    http = f"http://{state.http}"
    models = ", ".join(state.models)
    return {"models": models, "gRPC": state.grpc, "REST": http, "docs": f"{http}/docs", "process": state.pid}


def _rows(replicas: "Iterable[ReplicaStatus]") -> Iterator[tuple[Any, ...]]:
    """A row for each model of each replica."""
    for replica in replicas:
        if not replica.models:
            yield (replica.pid, "none yet", *[""] * (len(_HEADER) - 2))
        for name, model in sorted(replica.models.items()):
            yield (replica.pid, name, *_traffic(model), model.failure or "")


def _traffic(model: "ModelStatus") -> tuple[Any, ...]:
    """Its revision and releases."""
    traffic = model.traffic
    if traffic is None or traffic.champion is None:
        return ("",) * 5
    challenger, shadow = traffic.challenger, traffic.shadow
    return (
        traffic.revision,
        traffic.champion.semantic_version,
        f"{challenger.semantic_version} ({challenger.weight:.0%})" if challenger else "",
        shadow.semantic_version if shadow else "",
        ", ".join(pinned.semantic_version for pinned in traffic.pinned),
    )
