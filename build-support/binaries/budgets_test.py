"""Recording the content of the binaries keeps their limits."""

from __future__ import annotations

from pathlib import Path

from binaries.budgets import FILE, problems, read, write
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
