"""Commands take a project's name or a model's; a version's number tells which of the project's models is meant."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from support.registries import MODEL, Workspace
from support.wires import make_release_of, next_major
from typer.testing import CliRunner, Result

from athanor.cli.registry.app import app
from athanor.errors import AthanorError, NotFoundError
from athanor.registry.registry import Registry

_NEXT: Final = "delays.v2"


@pytest.fixture(scope="session")
def both(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With 1.0.0, 1.0.1 and 1.1.0 of delays, and 2.0.0 and 2.0.1 of delays.v2."""
    workspace = filled.copy(tmp_path_factory.mktemp("both"))
    registry = workspace.open()
    for seed in range(2):
        registry.register(make_release_of(workspace.home.candidates / _NEXT, next_major(), seed=seed))
    return workspace


@pytest.fixture
def registry(workspace: Workspace, both: Workspace) -> Registry:
    workspace.reset(both)
    return workspace.open()


def _run(workspace: Workspace, *arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--home", str(workspace.path)], env={"COLUMNS": "240"})


def _ask(workspace: Workspace, *arguments: object) -> Any:
    done = _run(workspace, *arguments, "--json")
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def _refused(workspace: Workspace, *arguments: object) -> str:
    error = _run(workspace, *arguments).exception
    assert isinstance(error, AthanorError), error
    return str(error)


def test_a_release_of_the_next_package_is_registered_under_the_project_s_name(
    registered: Registry, workspace: Workspace
) -> None:
    digest = make_release_of(workspace.home.candidates / _NEXT, next_major()).digest
    answer = _ask(workspace, "register", MODEL, digest[:8])
    assert (answer["model"], answer["semantic version"]) == (_NEXT, "2.0.0")
    assert _ask(workspace, "register", _NEXT, digest)["new"] is False
    assert "0 releases in" in _refused(workspace, "register", "delays.v1", digest)


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        (MODEL, ["1.1.0", "1.0.1", "1.0.0", "2.0.1", "2.0.0"]),
        ("delays.v1", ["1.1.0", "1.0.1", "1.0.0"]),
        (_NEXT, ["2.0.1", "2.0.0"]),
        ("delays.v3", []),
        ("delay", []),
    ],
)
def test_a_project_lists_the_versions_of_all_its_models(
    registry: Registry, workspace: Workspace, name: str, versions: list[str]
) -> None:
    assert [version["semantic_version"] for version in _ask(workspace, "list", name)] == versions


def test_each_model_has_a_table_of_its_own(registry: Registry, workspace: Workspace) -> None:
    for model, version in ((MODEL, "1.0.0"), (_NEXT, "2.0.0")):
        registry.promote(model, version, f"{version} first")
    tables = _run(workspace, "history", MODEL).stdout
    assert tables.index("Moves of delays ") < tables.index("1.0.0 first")
    assert tables.index("1.0.0 first") < tables.index("Moves of delays.v2") < tables.index("2.0.0 first")
    assert [move["traffic"]["model"] for move in _ask(workspace, "history", MODEL)] == [MODEL, _NEXT]
    assert [traffic["model"] for traffic in _ask(workspace, "traffic", MODEL)] == [MODEL, _NEXT]
    assert [traffic["model"] for traffic in _ask(workspace, "traffic", _NEXT)] == [_NEXT]


def test_the_major_of_a_version_and_a_digest_name_the_model(registry: Registry, workspace: Workspace) -> None:
    digest = registry.find_version(_NEXT, "2.0.1").digest
    assert _ask(workspace, "promote", MODEL, "2.0.0", "-m", "to see")["model"] == _NEXT
    assert _ask(workspace, "challenge", MODEL, digest[:10], "--weight", 0.5, "-m", "to see")["model"] == _NEXT
    assert _ask(workspace, "show", MODEL, "2.0.1")["aliases"] == ["challenger"]
    assert _ask(workspace, "pin", "delays.v2", "2.0.1", "-m", "to see")["pinned"][0]["digest"] == digest
    assert _ask(workspace, "diff", MODEL, "1.0.0", "2.0.0")["before"] == "1.0.0"
    assert registry.list_moves(MODEL) == []
    assert "delays.v2 has no version 1.0.0; registered are: 2.0.1, 2.0.0" in _refused(
        workspace, "promote", _NEXT, "1.0.0", "-m", "to see"
    )


def test_without_a_version_a_later_model_is_named(registry: Registry, workspace: Workspace) -> None:
    for version in ("2.0.0", "2.0.1"):
        registry.promote(_NEXT, version, "to see")
    assert "delays has no earlier champion" in _refused(workspace, "rollback", MODEL, "-m", "to see")
    assert _ask(workspace, "rollback", _NEXT, "-m", "to see")["champion"]["semantic_version"] == "2.0.0"


def test_a_project_of_later_models_alone_names_them(workspace: Workspace, tmp_path: Path) -> None:
    registry = workspace.open()
    registry.register(make_release_of(tmp_path, next_major()))
    error = _run(workspace, "rollback", MODEL, "-m", "to see").exception
    assert isinstance(error, NotFoundError)
    assert str(error) == ("delays has no releases of the proto package delays.v1; name one of its models: delays.v2")
