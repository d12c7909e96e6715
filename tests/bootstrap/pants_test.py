"""The bootstrap script without a package index: everything around an installation."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path("pants").resolve()
VERSION = "2.17.1"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine with the usual commands and no interpreter."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "cat", "env", "cut", "dirname", "mkdir", "readlink", "sha256sum"):
        found = shutil.which(name)
        assert found
        (commands / name).symlink_to(found)
    return {"PATH": str(commands), "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def run(
    environment: dict[str, str], *arguments: str, folder: Path, text: str = ""
) -> "subprocess.CompletedProcess[str]":
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(
        command, env=environment, cwd=folder, input=text, capture_output=True, text=True, check=False, timeout=120
    )


def installation(environment: dict[str, str], name: str = VERSION, lock: str = "pants.lock") -> Path:
    """The folder that the script would install into: named by version and lock."""
    digest = hashlib.sha256((SCRIPT.parent / "3rdparty/tools" / lock).read_bytes()).hexdigest()[:12]
    return Path(environment["XDG_CACHE_HOME"]) / f"athanor/pants/{name}-{digest}"


def install_recorder(environment: dict[str, str]) -> None:
    """An installation whose interpreters print their folder and arguments."""
    tools = installation(environment, "tools", "pex.lock")
    for path in (installation(environment) / "bin/python", tools / "interpreters/python3.11"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$PWD" "$@"; cat; exit 42\n')
        path.chmod(0o755)


def test_without_an_interpreter_one_message_names_the_remedies(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, "--version", folder=tmp_path)
    assert done.returncode == 69
    assert "CPython 3.9 is needed" in done.stderr
    assert "uv python install 3.9" in done.stderr
    assert "pyenv install 3.9" in done.stderr
    assert not installation(environment).exists()


def test_without_a_home_one_message_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    del environment["HOME"]
    done = run(environment, "--version", folder=tmp_path)
    assert done.returncode == 69
    assert done.stderr == "pants: HOME is not set; set it to a folder that this user can write to\n"


def test_a_shim_that_fails_is_no_interpreter(environment: dict[str, str], tmp_path: Path) -> None:
    shim = Path(environment["PATH"]) / "python3.9"
    shim.write_text("#!/usr/bin/env bash\necho 'pyenv: python3.9: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    done = run(environment, "--version", folder=tmp_path)
    assert done.returncode == 69
    assert "none was found that works" in done.stderr


def test_arguments_input_and_exit_status_pass_through(environment: dict[str, str], tmp_path: Path) -> None:
    install_recorder(environment)
    done = run(environment, "run", "a b", "--", "*", folder=tmp_path, text="typed\n")
    assert done.returncode == 42
    assert done.stdout.splitlines() == [str(SCRIPT.parent), "-m", "pants", "run", "a b", "--", "*", "typed"]
    assert done.stderr == ""


def test_affected_runs_on_the_interpreter_of_the_code(environment: dict[str, str], tmp_path: Path) -> None:
    install_recorder(environment)
    (installation(environment) / "bin/python").write_text("#!/usr/bin/env bash\nexit 1\n")
    Path("build-support").mkdir(exist_ok=True)
    done = run(environment, "affected", "--dry-run", folder=tmp_path)
    assert done.returncode == 42
    expected = [f"{SCRIPT.parent}/build-support", "-EsB", "-m", "ci.affected", "--dry-run"]
    assert done.stdout.splitlines() == expected


def test_missing_tools_are_made_before_pants_runs(environment: dict[str, str], tmp_path: Path) -> None:
    install_recorder(environment)
    shutil.rmtree(installation(environment, "tools", "pex.lock"))
    done = run(environment, "--version", folder=tmp_path)
    assert done.returncode == 42
    assert done.stdout == "", "the path that it prints is not Pants' output"


def test_what_was_interrupted_is_not_trusted(environment: dict[str, str], tmp_path: Path) -> None:
    install_recorder(environment)
    whole = installation(environment)
    whole.rename(whole.with_name(f"{whole.name}.part"))
    done = run(environment, "--version", folder=tmp_path)
    assert done.returncode == 69
