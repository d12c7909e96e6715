"""Each check passes a sound tree and fails a broken one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from structure.check import MOST_MODULES, main


def check(root: Path, files: Mapping[str, str], *checks: str) -> int:
    """Writes modules by name, and runs the named checks on them."""
    for name, text in files.items():
        path = root.joinpath("src/python", *name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return main([*checks, f"--root={root}"])


def test_modules_that_import_one_way_pass(tmp_path: Path) -> None:
    files = {"athanor.a": "from athanor import b\nimport json", "athanor.b": "import athanor.c", "athanor.c": ""}
    assert check(tmp_path, files) == 0


@pytest.mark.parametrize(
    "back",
    [
        "import athanor.a",
        "from athanor import a",
        "from athanor.a import name",
        "from . import a",
        "from .a import name",
        "def f():\n    from athanor.a import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import athanor.a",
    ],
)
def test_a_circle_fails_however_it_is_written(back: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"athanor.a": "from athanor.b import x", "athanor.b": "from athanor.c import x", "athanor.c": back}
    assert check(tmp_path, files, "circles") == 3
    assert "athanor.a -> athanor.b -> athanor.c -> athanor.a" in capsys.readouterr().out


def test_two_circles_are_both_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"p.a": "import p.b", "p.b": "import p.a", "q.a": "import q.b, p.a", "q.b": "import q.a"}
    assert check(tmp_path, files, "circles") == 3
    assert capsys.readouterr().out.count("circle of imports") == 2


def test_a_module_may_import_its_own_package(tmp_path: Path) -> None:
    files = {
        "p.__init__": "",
        "p.a": "import p\nfrom p.q import b",
        "p.q.__init__": "",
        "p.q.b": "from p import q",
    }
    assert check(tmp_path, files, "circles") == 0


@pytest.mark.parametrize(("count", "status"), [(MOST_MODULES, 0), (MOST_MODULES + 1, 3)])
def test_a_folder_holds_a_dozen_modules_and_no_more(count: int, status: int, tmp_path: Path) -> None:
    files = {f"p.m{number}": "" for number in range(count)}
    assert check(tmp_path, {**files, "p.__init__": "", "p.q.m": ""}, "folders") == status


@pytest.mark.parametrize(
    "use",
    [
        "import ray._private.services",
        "from ray import _raylet",
        "from ray._raylet import GcsClient",
        "from ray.serve._private.common import DeploymentID",
        "from grpc._server import _Server",
        "import ray\nray._private.worker.global_worker",
        "from ray import serve\nserve.context._get_internal_replica_context()",
        "import ray.serve.handle as h\nh._x",
        "PATH = 'ray.serve._private.haproxy'",
        "import os\nos.environ['RAY_SERVE_ENABLE_HA_PROXY']",
        "HOOK = '__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR'",
        "NAME = f'RAY_{1}'\nOTHER = f'RAY_PORT_{1}'",
    ],
)
def test_a_private_name_of_ray_or_grpc_fails_outside_the_layer_cluster(
    use: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, {"athanor.cluster.ray_internals": use}, "private") == 0
    assert check(tmp_path, {"athanor.serving.node": use}, "private") == 3
    assert "athanor/serving/node.py:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "use",
    [
        "import ray\nray.__version__",
        "from grpc import aio\naio.server()",
        "class A:\n    def f(self):\n        return self._x",
        "NAME = 'ATHANOR_RAY_TOKEN_FILE'",
        '"""Ray reads RAY_ADDRESS in ray._private."""',
    ],
)
def test_public_names_pass(use: str, tmp_path: Path) -> None:
    assert check(tmp_path, {"athanor.serving.node": use}, "private") == 0


@pytest.mark.parametrize(
    "use",
    [
        "from athanor.tasks.binary import Binary",
        "from athanor.tasks import regression",
        "import athanor.tasks.multiclass",
        "p = model.predict_proba(frame)",
        "p = answers[:, 1]",
        "p = answers[..., 1]",
        "if task.name == 'binary': pass",
        "found = 'regression' if task.name in ('regression', 'other') else ''",
        "match task.name:\n    case 'multiclass':\n        pass",
    ],
)
def test_a_question_for_the_kind_of_label_fails_outside_the_layer_tasks(
    use: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, {"athanor.tasks.tasks": use}, "questions") == 0
    assert check(tmp_path, {"athanor.training.card": use}, "questions") == 3
    assert "athanor/training/card.py:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "use",
    [
        "from athanor.tasks.tasks import task_of",
        "p = answers[:, 0]",
        "kind = 'binary'",
        "several = encoder.target_type_ == 'multiclass'",
        '"""Asks no classifier for predict_proba(frame)[:, 1]."""',
    ],
)
def test_a_task_may_be_asked(use: str, tmp_path: Path) -> None:
    assert check(tmp_path, {"athanor.training.card": use}, "questions") == 0


def test_tables_have_a_second_column(tmp_path: Path) -> None:
    assert check(tmp_path, {"athanor.data.report.histogram": "high = edges[:, 1]"}, "questions") == 0


@pytest.mark.parametrize(
    "link",
    ["docs/page.md", "docs/page.md#a-heading-with-code", "#here", "docs", "https://example.org/gone", "mailto:a@b"],
)
def test_links_that_lead_somewhere_pass(link: str, tmp_path: Path) -> None:
    assert check_links(tmp_path, f"# Here\n\n[text]({link})\n\n```\n[no](link)\n```\n") == 0


@pytest.mark.parametrize("link", ["docs/gone.md", "docs/page.md#gone", "#gone", "../page.md"])
def test_a_link_that_leads_nowhere_fails_with_its_line(
    link: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_links(tmp_path, f"# Here\n\n```\ncode\n```\n\n[text]({link})\n") == 3
    assert f"README.md:7: the link to {link} " in capsys.readouterr().out


def check_links(root: Path, readme: str) -> int:
    """Writes a document and a page that it may link to, and checks their links."""
    (root / "docs").mkdir()
    (root / "docs/page.md").write_text("# Page\n\n## A heading, with `code`\n")
    (root / "README.md").write_text(readme)
    return check(root, {"a": ""}, "links")


@pytest.mark.parametrize("arguments", [["circle"], ["--root=gone"]])
def test_a_mistyped_call_checks_nothing_and_fails(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"--root={tmp_path}", *arguments])
