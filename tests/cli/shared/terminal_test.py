"""Every command has an exit status, results on standard output, everything else on standard error."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import typer
from support.commands import environment

from athanor.cli import app as composed
from athanor.cli.shared.terminal import JsonOption, facts, listing, make_app, run_app, show, watch
from athanor.errors import AthanorError, DataError, FieldViolation, GateError, InvalidRequestError, ServiceError
from athanor.version import VERSION

ERRORS: Final[dict[str, Exception]] = {
    "data": DataError("[column] is wrong"),
    "gate": GateError("roc_auc is 0.5"),
    "service": ServiceError("it did not start"),
    "full": OSError(errno.ENOSPC, "No space left on device", "/home/x"),
    "unnamed": OSError(errno.ENOSPC, "No space left on device"),
    "read-only": OSError(errno.EROFS, "Read-only file system", "/home/x"),
    "denied": PermissionError(errno.EACCES, "Permission denied", "/home/x", None, "/home/y"),
    "defect": FileNotFoundError(errno.ENOENT, "No such file or directory", "/home/x"),
    "escapes": DataError("\x1b]0;owned\x07 \x1b[2J \u202e [red]x"),
    "leaking": ValueError("cannot reach s3://key:hunter2@bucket/x \x1b[2J"),
    "request": InvalidRequestError("1 value", (FieldViolation("rows[0].x", "MAXIMUM", "rows[0].x 9 is too much"),)),
}


@pytest.mark.parametrize(("kind", "status"), [("work", 0), ("data", 2)])
def test_standard_error_on_a_full_disk_changes_no_exit_status(kind: str, status: int) -> None:
    """As of a training whose log has no more room."""
    imports = "from cli.shared import terminal_test; from athanor.cli.shared import terminal"
    program = f"{imports}; terminal.run_program(terminal_test.make_example())"
    arguments = [kind, "--json"] if kind == "work" else ["fail", kind]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            env={**environment(), "PYTHONUNBUFFERED": ""},
            check=False,
        )
    assert done.returncode == status
    assert (json.loads(done.stdout) == {"rows": 3}) if kind == "work" else not done.stdout


@pytest.fixture
def app() -> typer.Typer:
    return make_example()


def make_example() -> typer.Typer:
    made = make_app("example", "An example.")

    @made.command()
    def fail(kind: str) -> None:
        with watch() as progress, progress.step("Work"):
            raise ERRORS[kind]

    @made.command()
    def work(json: JsonOption = False) -> None:
        with watch() as progress, progress.step("Work", total=2) as advance:
            advance("half")
            advance("whole")
        show({"rows": 3}, json, lambda: facts("Result", {"rows": 3}))

    return made


def call(app: typer.Typer, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("full", "/home/x: No space left on device; free some space, or choose"),
        ("unnamed", "the standard output or a file: No space left on device; free some space, or choose"),
        ("read-only", "/home/x: Read-only file system; choose a folder that this user can write to"),
        ("denied", "/home/x -> /home/y: Permission denied; choose a folder that this user can write to"),
    ],
)
def test_an_error_of_the_file_system_is_words_with_a_remedy(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, words: str
) -> None:
    assert call(app, monkeypatch, "fail", kind) == 1
    assert f"STORAGE_FAILED {words}" in capsys.readouterr().err


def test_a_message_controls_no_terminal(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(app, monkeypatch, "fail", "escapes") == 2
    shown = capsys.readouterr().err
    assert r"\x1b]0;owned\x07 \x1b[2J \u202e [red]x" in shown
    assert not {"\x07", "\u202e"} & {*shown}


def test_a_table_and_its_title_control_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\u202e[red]"
    for table in (facts(hostile, {hostile: hostile}), listing(hostile, (hostile,), [(hostile,)])):
        show({}, False, lambda table=table: table)  # type: ignore[misc]
        shown = capsys.readouterr().out
        assert shown.count(r"\x1b[2J\u202e[red]") == 3
        assert not {"\x1b", "\u202e"} & {*shown}


def test_a_defect_is_printed_without_secrets_and_escapes(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "fail", "leaking"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(ValueError, match="cannot reach") as defect:
        run_app(app)
    sys.excepthook(defect.type, defect.value, defect.tb)
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert r"cannot reach s3://***@bucket/x \x1b[2J" in shown
    assert "hunter2" not in shown


def test_a_defect_keeps_its_traceback(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "fail", "defect"])
    with pytest.raises(FileNotFoundError):
        run_app(app)


@pytest.mark.parametrize(("kind", "status"), [("service", 1), ("data", 2), ("request", 2), ("gate", 3)])
def test_an_error_becomes_its_exit_status_and_one_message(
    app: typer.Typer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    status: int,
) -> None:
    assert call(app, monkeypatch, "fail", kind) == status
    out, err = capsys.readouterr()
    assert out == ""
    error = ERRORS[kind]
    assert isinstance(error, AthanorError)
    assert f"{error.code} {error}" in err
    assert "Traceback" not in err


def test_violations_are_listed(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(app, monkeypatch, "fail", "request")
    assert "rows[0].x 9 is too much" in capsys.readouterr().err


def test_a_wrong_option_is_bad_input(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(app, monkeypatch, "work", "--no-such-option") == 2


def test_only_json_is_on_standard_output(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(app, monkeypatch, "work", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"rows": 3}
    assert "Work" in err


def test_people_get_a_table(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(app, monkeypatch, "work") == 0
    assert "Result" in capsys.readouterr().out


def test_the_version_of_the_package_is_printed_with_the_digests_of_a_binary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(composed.app, monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"{VERSION}\nfrom sources\n"


def test_commands_of_every_layer_are_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(composed.app, monkeypatch, "--help") == 0
    out = capsys.readouterr().out
    for command in ("demo", "train", "predict", "data", "registry", "serve", "monitor"):
        assert command in out


def test_an_unknown_project_is_bad_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(composed.app, monkeypatch, "train", "no_such_project") == 2
    assert "no project 'no_such_project'" in capsys.readouterr().err
