"""Raw files are kept as they came, and no row of them goes lost."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from athanor.data.source import Transformed, keep_raw
from athanor.errors import DataError, NotFoundError


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "from"
    folder.mkdir()
    (folder / "one").write_bytes(b"1")
    (folder / "two").write_bytes(b"2")
    return {"a.csv": folder / "one", "b.csv": folder / "two"}


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_raw_files_are_kept_under_their_names_as_they_came(files: dict[str, Path], tmp_path: Path) -> None:
    raw = keep_raw(files, tmp_path / "raw")
    assert {name: path.read_bytes() for name, path in raw.files.items()} == {"a.csv": b"1", "b.csv": b"2"}
    assert {path.parent.parent for path in raw.files.values()} == {tmp_path / "raw"}


def test_the_digest_covers_names_and_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    expected = hashlib.sha256(f"a.csv\0{one}\nb.csv\0{two}\n".encode()).hexdigest()
    assert keep_raw(files, tmp_path / "raw").digest == expected
    swapped = {"a.csv": files["b.csv"], "b.csv": files["a.csv"]}
    assert keep_raw(swapped, tmp_path / "raw").digest != expected


def test_the_same_bytes_are_kept_once_wherever_they_lie(files: dict[str, Path], tmp_path: Path) -> None:
    first = keep_raw(files, tmp_path / "raw")
    moved = {name: path.rename(tmp_path / name) for name, path in reversed(files.items())}
    assert keep_raw(moved, tmp_path / "raw") == first
    assert len(_entries(tmp_path / "raw")) == 1


def test_changed_bytes_are_kept_beside_the_earlier_ones(files: dict[str, Path], tmp_path: Path) -> None:
    before = keep_raw(files, tmp_path / "raw")
    files["a.csv"].write_bytes(b"3")
    after = keep_raw(files, tmp_path / "raw")
    assert before.files["a.csv"].read_bytes() == b"1"
    assert after.files["a.csv"].read_bytes() == b"3"


def test_an_interrupted_copy_is_never_trusted(files: dict[str, Path], tmp_path: Path) -> None:
    expected = keep_raw(files, tmp_path / "elsewhere")
    kept = next(iter(expected.files.values())).parent.name
    (tmp_path / "raw" / ".arriving-killed").mkdir(parents=True)
    (tmp_path / "raw" / ".arriving-killed" / "a.csv").write_bytes(b"")
    raw = keep_raw(files, tmp_path / "raw")
    assert raw.files["a.csv"] == tmp_path / "raw" / kept / "a.csv"
    assert raw.files["a.csv"].read_bytes() == b"1"


def test_a_copy_that_fails_leaves_nothing(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, to: Path) -> None:
        to.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(OSError, match="disk full"):
        keep_raw(files, tmp_path / "raw")
    assert _entries(tmp_path / "raw") == []


def test_absent_files_are_all_named(files: dict[str, Path], tmp_path: Path) -> None:
    absent = {name: path.with_suffix(".gone") for name, path in files.items()}
    with pytest.raises(NotFoundError, match=r"a\.csv \(.*one\.gone\), b\.csv \(.*two\.gone\)"):
        keep_raw({**files, **absent}, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


_FRAME = pd.DataFrame({"a": [1, 2, 3]})


def test_every_row_is_accounted_for() -> None:
    assert Transformed(_FRAME, rows_in=3).left_out == {}
    assert Transformed(_FRAME, rows_in=6, left_out={"cancelled": 2, "diverted": 1}).rows_in == 6


@pytest.mark.parametrize(("rows_in", "left_out"), [(4, {}), (2, {}), (4, {"cancelled": 2})])
def test_a_transform_that_loses_or_multiplies_rows_is_refused(rows_in: int, left_out: dict[str, int]) -> None:
    accounted = 3 + sum(left_out.values())
    with pytest.raises(DataError, match=f"read {rows_in} rows and accounts for {accounted}; count every row"):
        Transformed(_FRAME, rows_in=rows_in, left_out=left_out)
