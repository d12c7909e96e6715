"""The app `athanor` with the commands of all layers. Layers load when a command needs them, never for `--help`."""

from athanor.cli.client import app as client
from athanor.cli.contract import app as contract
from athanor.cli.data import app as data
from athanor.cli.demo import app as demo
from athanor.cli.monitoring import app as monitoring
from athanor.cli.registry import app as registry
from athanor.cli.registry.opening import open_registry
from athanor.cli.releases import app as releases
from athanor.cli.serving import app as serving
from athanor.cli.shared.terminal import make_app, run_program
from athanor.cli.training import app as training

app = make_app("athanor", "Turn a table into a running, trustworthy prediction service, and prove how.")
app.command(name="demo")(demo.demo)
training.add_commands(app, lambda home, progress: open_registry(home, progress).record)
app.command(name="evaluate")(releases.evaluate)
app.command(name="verify")(releases.verify)
app.command(name="predict")(client.predict)
app.add_typer(contract.app)
app.add_typer(data.app)
app.add_typer(registry.app)
app.add_typer(serving.app)
app.add_typer(monitoring.app)


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
