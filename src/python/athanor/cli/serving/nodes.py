"""Commands of a cluster: its nodes, and the service deployed on them."""

from typing import Annotated, Any

import typer

from athanor.cli.serving.services import ServiceArgument, find_service
from athanor.cli.serving.settings import ModelsArgument, NameOption, read_settings, settings_command
from athanor.cli.shared.clusters import RayTokenOption
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, show, watch
from athanor.errors import SettingsError
from athanor.home import Home

# Without a name: the app that it is added to takes its commands.
app = typer.Typer()

AddressOption = Annotated[str, typer.Option("--address", metavar="HOST:PORT", help="Address of the cluster's head.")]


@app.command()
def node(
    head: Annotated[
        bool, typer.Option("--head", help="Begin a cluster; makes the token if its file is not there.")
    ] = False,
    join: Annotated[
        str | None, typer.Option("--join", metavar="HOST:PORT", help="Join the cluster whose head listens there.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address by which the other nodes reach this one.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the head.")] = 6379,
    ray_token_file: RayTokenOption = None,
    first_port: Annotated[int, typer.Option(min=1024, max=65_335, help="First of this node's 200 ports.")] = 20_000,
    object_store_mib: Annotated[int, typer.Option(min=80, help="Memory for Ray's objects, in MiB.")] = 256,
) -> None:
    """Run a node of a cluster in the foreground, until SIGTERM or SIGINT."""
    from dataclasses import replace

    from athanor.serving.hosting.node import plan_head, plan_joiner, run

    if head == (join is not None):
        raise SettingsError("give either --head, to begin a cluster, or --join HOST:PORT, to join one")
    plan = plan_joiner(join, host, ray_token_file) if join else plan_head(host, port, ray_token_file)
    run(replace(plan, first_port=first_port, object_store_mib=object_store_mib), typer.echo)


@settings_command(app)
def deploy(
    projects: ModelsArgument = None,
    *,
    address: AddressOption,
    name: NameOption = None,
    ray_token_file: RayTokenOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
    **settings: Any,
) -> None:
    """Deploy on a cluster, or change what is deployed; returns when it answers. Two replicas by default."""
    from athanor.serving.hosting.cluster_deployment import DEFAULT_REPLICAS
    from athanor.serving.hosting.cluster_deployment import deploy as deploy_on

    found = read_settings(projects, name, Home.find(home), settings)
    if "replicas" not in found.model_fields_set:
        most = found.max_replicas or DEFAULT_REPLICAS
        found = found.model_copy(update={"replicas": min(DEFAULT_REPLICAS, most)})
    with watch() as progress:
        state = deploy_on(found, address, ray_token_file, progress)
    rows = {"gRPC": state.grpc, "REST": f"http://{state.http}", "cluster": state.cluster}
    show(state, json, lambda: facts(f"Service {state.service}", rows))


@app.command()
def undeploy(
    service: ServiceArgument = None,
    *,
    address: AddressOption,
    ray_token_file: RayTokenOption = None,
    home: HomeOption = None,
) -> None:
    """Undeploy the service from a cluster, after the requests it is answering."""
    from athanor.serving.hosting.cluster_deployment import undeploy as undeploy_from

    with watch() as progress:
        undeploy_from(find_service(service, home), address, ray_token_file, progress)
