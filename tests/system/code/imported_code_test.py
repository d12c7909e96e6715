"""The digest of code sees all that modules import, and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from athanor.system.code.imported_code import digest_imported_code


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a package `quince`, on the import path."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "quince"
    (folder / "near").mkdir(parents=True)
    for name, text in {
        "__init__": '"""A package."""',
        "root": "import quince.plain\nfrom quince import value\nfrom . import beside\nfrom .near.deep import A\n",
        "plain": "def late():\n    from quince.lazy import B\n",
        "value": "from json import dumps\n",
        "beside": "import numpy as np\n",
        "near/__init__": "",
        "near/deep": "from ..far import A\n",
        "far": "A = 1\n",
        "lazy": "raise RuntimeError('imported')\n",
        "unrelated": "C = 1\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def _digest() -> str:
    return digest_imported_code(["quince.root"])


@pytest.mark.parametrize(
    "module", ["__init__", "root", "plain", "value", "beside", "near/__init__", "near/deep", "far", "lazy"]
)
def test_a_changed_module_that_is_imported_changes_it(code: Path, module: str) -> None:
    before = _digest()
    assert _digest() == before
    path = code / f"{module}.py"
    path.write_text(f"{path.read_text()}\nADDED = 1\n")
    assert _digest() != before


def test_neither_unrelated_code_nor_comments_change_it(code: Path) -> None:
    before = _digest()
    (code / "unrelated.py").write_text("C = 2\n")
    (code / "new.py").write_text("D = 1\n")
    (code / "far.py").write_text("# The first letter.\nA   =   1\n")
    assert _digest() == before


def test_nothing_is_imported_for_it(code: Path) -> None:
    _digest()
    assert not [name for name in sys.modules if name.startswith("quince")]


def test_another_version_of_an_imported_library_changes_it_and_of_another_not(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _digest()
    true = metadata.distribution

    def find(changed: str) -> Callable[[str], object]:
        return lambda name: SimpleNamespace(version="999", requires=None) if name == changed else true(name)

    for library, is_seen in (("numpy", True), ("pytest", False)):
        with monkeypatch.context() as patched:
            patched.setattr(metadata, "distribution", find(library))
            assert (_digest() != before) is is_seen


def test_it_is_the_same_wherever_the_code_lies_and_whatever_is_loaded(code: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    code.rename(tmp_path / "moved/quince")
    script = "from athanor.system.code.imported_code import digest_imported_code as d; print(d(['quince.root']))"
    path = [str(tmp_path / "moved"), *sys.path]
    found = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; {loaded}{script}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for loaded in ("", "import pyarrow, quince.beside; ")
    ]
    assert len(found[0]) == 64
    assert found[0] == found[1]
