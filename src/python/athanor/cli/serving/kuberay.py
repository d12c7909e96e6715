"""Commands for Kubernetes: the manifest of a service."""

from pathlib import Path
from typing import Annotated, Any

import typer

from athanor.cli.serving.settings import ModelsArgument, NameOption, read_settings, settings_command
from athanor.cli.shared.terminal import HomeOption
from athanor.home import Home

# Without a name: the app that it is added to takes its commands.
app = typer.Typer()

ImageOption = Annotated[str, typer.Option(help="Image of the component serving, by digest for real use.")]
CpuOption = Annotated[int, typer.Option(min=1, help="Processors of each worker.")]
MemoryOption = Annotated[str, typer.Option(help="Memory of each worker, as Kubernetes writes it.")]
OutputOption = Annotated[Path | None, typer.Option(help="File to write; the standard output by default.")]


@settings_command(app)
def kuberay(
    projects: ModelsArgument = None,
    *,
    image: ImageOption,
    name: NameOption = None,
    cpu: CpuOption = 1,
    memory: MemoryOption = "2Gi",
    output: OutputOption = None,
    home: HomeOption = None,
    **settings: Any,
) -> None:
    """Print the manifest of a RayService for the KubeRay operator, made from the settings."""
    from athanor.serving.hosting.kuberay import Pods, to_yaml

    text = to_yaml(read_settings(projects, name, Home.find(home), settings), Pods(image, cpu, memory))
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text)
