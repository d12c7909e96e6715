"""Runs command lines of the composed app one after the other in this process, and prints what became of each as JSON.

Usage: python -m support.turns HOME 'registry list delays' '!rm file' …

A line that begins with "!" is one of the shell.
"""

import io
import json
import shlex
import subprocess
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout

from athanor.cli.app import app
from athanor.cli.shared import terminal


def run(home: str, line: str) -> dict[str, object]:
    """Exit status (None after a traceback) and everything that was printed."""
    if line.startswith("!"):
        done = subprocess.run(line[1:], shell=True, capture_output=True, text=True, check=False)  # noqa: S602 - a test's own
        return {"line": line, "status": done.returncode, "printed": done.stderr}
    sys.argv = ["athanor", *shlex.split(line), "--home", home]
    printed = io.StringIO()
    status: object = 0
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            terminal.run_app(app)
        except SystemExit as ended:
            status = ended.code or 0
        except BaseException:  # noqa: BLE001 - as Python would print it
            status = None
            traceback.print_exc()
    return {"line": line, "status": status, "printed": printed.getvalue()}


if __name__ == "__main__":
    # Each turn replaces the arguments.
    given, *lines = sys.argv[1:]
    sys.stdout.write(json.dumps([run(given, line) for line in lines]))
