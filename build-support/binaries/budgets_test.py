"""Recording the content of the binaries keeps their limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from binaries.budgets import FILE, main, problems, read, write
from binaries.pex_file import PexFile

CLIENT = PexFile(Path("client.pex"))


def test_what_is_written_is_what_the_binary_holds() -> None:
    text = write(FILE.read_text(), [CLIENT])
    client = read(text)["client"]
    assert set(client.distributions) == {found.name for found in CLIENT.distributions}
    assert not any("list" in problem for problem in problems(CLIENT, client))


def test_limits_and_their_comments_stay() -> None:
    before, after = FILE.read_text(), write(FILE.read_text(), [CLIENT])
    assert after.partition("# ---")[0] == before.partition("# ---")[0]
    assert read(after)["serving"].size_mb == read(before)["serving"].size_mb
    assert write(after, [CLIENT]) == after


@pytest.mark.parametrize(("size_mb", "status"), [(25, 0), (1, 3)])
def test_the_command_rewrites_the_lists_and_refuses_a_binary_over_its_limit(
    size_mb: int,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "budgets.toml"
    limits = f"[client]\nsize_mb = {size_mb}\nwithout = []\ncold_s = 1\nwarm_s = 1\n"
    file.write_text(f"{limits}\n# --- What the binaries hold\n\n[distributions.client]\nnumpy = 1.0\n")
    monkeypatch.setattr("binaries.budgets.FILE", file)
    monkeypatch.setattr(sys, "argv", ["budgets", "--dist", str(CLIENT.path.parent)])
    assert main() == status
    assert set(read(file.read_text())["client"].distributions) == {found.name for found in CLIENT.distributions}
    out = capsys.readouterr().out
    assert ("change `size_mb` of [client]" in out) == (status == 3)
