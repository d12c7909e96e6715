"""Edits apply exactly or fail with a reason; a scratch clone returns to its base."""

import subprocess
from pathlib import Path

import pytest
from selection.edits import Append, Delete, Edit, Rename, Replace, Upgrade, Write
from selection.errors import AskError, CaseError
from selection.scratch import Scratch, git


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """A repository of two files."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "a.py").write_text("one = 1\n")
    (tmp_path / "b.css").write_text("p {}\n")
    git(tmp_path, "add", "--all")
    git(
        tmp_path,
        "-c",
        "user.name=selection",
        "-c",
        "user.email=a@example.org",
        "commit",
        "--quiet",
        "--message=begin",
    )
    return Scratch(tmp_path, git(tmp_path, "rev-parse", "HEAD").strip())


def _texts(root: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in root.iterdir() if file.is_file()}


@pytest.mark.parametrize(
    ("edit", "after"),
    [
        (Append("a.py"), {"a.py": "one = 1\n# edited\n", "b.css": "p {}\n"}),
        (Append("b.css"), {"a.py": "one = 1\n", "b.css": "p {}\n/* edited */\n"}),
        (Replace("a.py", "1", "2"), {"a.py": "one = 2\n", "b.css": "p {}\n"}),
        (Write("c", "new"), {"a.py": "one = 1\n", "b.css": "p {}\n", "c": "new"}),
        (Rename("a.py", "c.py"), {"b.css": "p {}\n", "c.py": "one = 1\n"}),
        (Delete("a.py"), {"b.css": "p {}\n"}),
    ],
)
def test_a_tree_is_edited_and_then_as_it_was(edit: Edit, after: dict[str, str], scratch: Scratch) -> None:
    before = _texts(scratch.root)
    with scratch.edited([edit]):
        assert _texts(scratch.root) == after
    assert _texts(scratch.root) == before
    assert git(scratch.root, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "edit",
    [
        Append("c"),
        Replace("a.py", "2", "3"),
        Replace("a.py", " ", ""),
        Write("a.py", ""),
        Rename("c", "d"),
        Delete("c"),
        Upgrade("a.py", "one"),
    ],
)
def test_an_edit_that_does_not_fit_is_an_error(edit: Edit, scratch: Scratch) -> None:
    with pytest.raises(CaseError), scratch.edited([Append("b.css"), edit]):
        pass
    assert git(scratch.root, "status", "--porcelain") == ""


def test_every_entry_of_a_distribution_is_upgraded_and_no_other(scratch: Scratch) -> None:
    lock = "a==1.0 ; python_version < '3' \\\n    --hash=x\na==2.0 \\\n    # via a\na-b==1.0 \\\n"
    (scratch.root / "some.lock").write_text(lock)
    Upgrade("some.lock", "a").apply(scratch.root)
    expected = lock.replace("a==1.0", "a==1.0.post1").replace("a==2.0", "a==2.0.post1")
    assert (scratch.root / "some.lock").read_text() == expected


def test_what_is_kept_is_the_new_beginning(scratch: Scratch) -> None:
    kept = scratch.keep([Append("a.py")], "keep")
    with kept.edited([Delete("a.py")]):
        pass
    assert _texts(scratch.root)["a.py"] == "one = 1\n# edited\n"
    assert kept.base != scratch.base


def test_git_that_cannot_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AskError, match="rev-parse HEAD"):
        git(tmp_path, "rev-parse", "HEAD")
