"""Generated code is found in a root of its own, beside our packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import athanor
from athanor import contract


@pytest.mark.parametrize("is_generated_first", [False, True])
def test_generated_code_of_another_root_is_imported(tmp_path: Path, is_generated_first: bool) -> None:
    """As after `./pants export-codegen`, which makes no `__init__.py`."""
    ours, generated = tmp_path / "ours", tmp_path / "generated"
    for package, folder in ((athanor, "athanor"), (contract, "athanor/contract")):
        (ours / folder).mkdir(parents=True)
        shutil.copy(str(package.__file__), ours / folder)
    for folder in ("athanor/contract/v1", "athanor/inspection/v1"):
        (generated / folder).mkdir(parents=True)
        (generated / folder / "made_pb2.py").touch()
    roots = (generated, ours) if is_generated_first else (ours, generated)
    done = subprocess.run(
        [sys.executable, "-c", "import athanor.contract.v1.made_pb2, athanor.inspection.v1.made_pb2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
