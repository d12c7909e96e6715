"""A service whose files cannot be written is known by trying."""

import json
from pathlib import Path

from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.storage import find_storage_fault


def test_a_service_whose_folders_can_be_written_has_no_fault(tmp_path: Path) -> None:
    paths = ServicePaths(tmp_path, "delays")
    assert find_storage_fault(paths) is None
    paths.settings.write_text(json.dumps({"prediction_log": str(tmp_path)}))
    assert find_storage_fault(paths) is None
    assert list(tmp_path.iterdir()) == [paths.settings]


def test_the_fault_names_the_folder_the_reason_and_what_is_lost(tmp_path: Path) -> None:
    """`/proc` takes no file, from any user."""
    fault = find_storage_fault(ServicePaths(Path("/proc"), "delays"))
    assert fault is not None
    assert fault.startswith("cannot write to /proc: ")
    assert "lines of the log" in fault
    paths = ServicePaths(tmp_path, "delays")
    paths.settings.write_text(json.dumps({"prediction_log": "/proc"}))
    fault = find_storage_fault(paths)
    assert fault is not None
    assert "rows of the prediction log" in fault
