"""Every write that is promised to survive a power failure, and some that would not, for a test to watch.

    python -m support.promised_writes FOLDER

does each in a folder of its own, and makes the folders `begun NAME` and `done NAME` before and after.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
from support.flights import make_columns
from support.releases import make_record, make_release
from support.snapshots import commit_columns

from athanor.cluster.token import write_ray_token
from athanor.data.checks.quarantine import Quarantine
from athanor.data.snapshots.snapshot import restore
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.raw import keep_raw, record_time_range
from athanor.errors import NotFoundError
from athanor.home import Home
from athanor.progress import Unwatched
from athanor.registry.registry import Registry
from athanor.release.files import MANIFEST
from athanor.release.signing.releases import make_key, sign
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import local_token, make_token, revoke_token, tokens_path
from athanor.serving.hosting.service import up
from athanor.serving.setup.ports import find_free_ports
from athanor.serving.setup.settings import make_settings
from athanor.system.atomic import create_folder, replace_file
from athanor.system.durability import sync, sync_tree
from projects.delays.model import MODEL

# Prepares what must be there, yields, and writes.
Write: TypeAlias = Callable[[Path], Iterator[None]]
BEGUN: Final = "begun"
DONE: Final = "done"


def _traffic(folder: Path) -> Iterator[None]:
    store = ReleaseStore(folder / "store")
    yield
    for revision in (1, 2):
        champion = Served(digest="0" * 64, semantic_version="1.0.0")
        store.write_traffic(Traffic(model="delays", revision=revision, champion=champion))


def _candidate(folder: Path) -> Iterator[None]:
    yield
    make_release(folder / "candidates" / "delays")


def _publication(folder: Path) -> Iterator[None]:
    release = make_release(folder / "candidates")
    yield
    ReleaseStore(folder / "store").publish(release)


def _half_a_publication(folder: Path) -> Iterator[None]:
    release, store = make_release(folder / "candidates"), ReleaseStore(folder / "store")
    store.publish(release)
    (folder / "store" / "releases" / "delays" / release.digest / MANIFEST).unlink()
    yield
    store.publish(release)


def _signature(folder: Path) -> Iterator[None]:
    release, store = make_release(folder / "candidates"), ReleaseStore(folder / "store")
    yield
    make_key(folder / "keys" / "team.key")
    store.write_signature("delays", release.digest, sign(release, folder / "keys" / "team.key"))


def _registry(folder: Path) -> Iterator[None]:
    release = make_release(folder / "candidates")
    yield
    registry = Registry.open(Home(folder))
    registry.record(make_record(status="refused"), card=b"<!doctype html>")
    registry.register(release)
    registry.promote("delays", "1.0.0", why="to be seen")


def _raw(folder: Path) -> Iterator[None]:
    (folder / "flights.csv").write_text("a,b\n1,2\n")
    yield
    raw = keep_raw({"flights": DelimitedFiles(folder / "flights.csv")}, folder / "raw" / "delays")
    record_time_range(raw, datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 12, 31, tzinfo=UTC))


def _snapshots(folder: Path) -> Iterator[None]:
    yield
    for seed in (1, 2):
        commit_columns(MODEL.contract, make_columns(20, seed), folder / "datasets", raw=str(seed))
    restore(MODEL.name, folder / "datasets", 0, why="to be seen")


def _quarantine(folder: Path) -> Iterator[None]:
    yield
    with Quarantine(folder / "quarantine" / "delays") as quarantine:
        quarantine.add(pa.table({"distance": [1.0], "_reasons": [["OUT_OF_RANGE"]]}))
        quarantine.keep("1" * 64, "2" * 64)


def _tokens(folder: Path) -> Iterator[None]:
    yield
    local_token(folder / "service", "delays")
    make_token(tokens_path(folder / "service", "delays"), "a", Scope.PREDICT)
    revoke_token(tokens_path(folder / "service", "delays"), "a")


def _settings(folder: Path) -> Iterator[None]:
    port = find_free_ports(2)
    settings = make_settings(
        service="delays",
        models=("delays",),
        folder=folder / "service",
        store=str(folder),
        http_port=port,
        grpc_port=port + 1,
    )
    yield
    # They are written before it is found that there is nothing to serve.
    with suppress(NotFoundError):
        up(settings, ["true"], Unwatched())


def _ray_token(folder: Path) -> Iterator[None]:
    yield
    write_ray_token(folder / "ray.token")


def _file(folder: Path) -> Iterator[None]:
    yield
    replace_file(folder / "new" / "deep" / "file", b"content")
    replace_file(folder / "new" / "deep" / "file", b"other content")


def _folder(folder: Path) -> Iterator[None]:
    def fill(new: Path) -> None:
        (new / "deep").mkdir()
        (new / "deep" / "file").write_bytes(b"content")

    yield
    create_folder(folder / "new" / "final", fill)


def _unflushed_file(folder: Path) -> Iterator[None]:
    yield
    replace_file(folder / "file", b"content", durable=False)


def _unflushed_name(folder: Path) -> Iterator[None]:
    yield
    (folder / "temporary").write_bytes(b"content")
    sync(folder / "temporary")
    (folder / "temporary").rename(folder / "file")


def _late_flush(folder: Path) -> Iterator[None]:
    yield
    (folder / "temporary").write_bytes(b"content")
    (folder / "temporary").rename(folder / "file")
    sync_tree(folder)


def _unflushed_part_of_a_folder(folder: Path) -> Iterator[None]:
    yield
    (folder / "temporary").mkdir()
    (folder / "temporary" / "file").write_bytes(b"content")
    sync(folder / "temporary")
    (folder / "temporary").rename(folder / "final")
    sync(folder)


def _unflushed_parent(folder: Path) -> Iterator[None]:
    yield
    (folder / "new" / "deep").mkdir(parents=True)
    replace_file(folder / "new" / "deep" / "file", b"content")


PROMISED: Final[Mapping[str, Write]] = {
    "file": _file,
    "folder": _folder,
    "traffic file": _traffic,
    "candidate": _candidate,
    "publication": _publication,
    "half a publication": _half_a_publication,
    "key and signature": _signature,
    "registry": _registry,
    "raw input": _raw,
    "snapshots": _snapshots,
    "quarantine": _quarantine,
    "tokens": _tokens,
    "settings of a service": _settings,
    "Ray token": _ray_token,
}
CARELESS: Final[Mapping[str, tuple[Write, str]]] = {
    "unflushed file": (_unflushed_file, "was named before .* was flushed"),
    "unflushed name": (_unflushed_name, "is not flushed after file"),
    "late flush": (_late_flush, "was named before .* was flushed"),
    "unflushed part of a folder": (_unflushed_part_of_a_folder, "final was named before .*file was flushed"),
    "unflushed parent": (_unflushed_parent, "is not flushed after (new|deep)"),
}


def main(folder: Path) -> None:
    writes = {**PROMISED, **{name: write for name, (write, _) in CARELESS.items()}}
    for name, write in writes.items():
        (folder / name).mkdir()
        steps = write(folder / name)
        next(steps)
        (folder / f"{BEGUN} {name}").mkdir()
        with suppress(StopIteration):
            next(steps)
        (folder / f"{DONE} {name}").mkdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
