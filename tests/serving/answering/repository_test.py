"""The models of a service come, go and fail, each by itself."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.following import CountingStore, Listener, following_repository
from support.processes import wait_until
from support.wires import make_release_of, repackage

from athanor.errors import AthanorError, ModelNotFoundError, NotFoundError, ReleaseError
from athanor.release.files import GRAPH, Release
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.repository import ModelState, Repository


class _Shop:
    """A store in which a test promotes models, each with one release."""

    def __init__(self, folder: Path) -> None:
        self.store = CountingStore(str(folder / "store"))
        self._folder = folder
        self._revision = 0

    def publish(self, model: str) -> Release:
        release = make_release_of(self._folder / "candidates", repackage(f"{model}.v1"))
        self.store.publish(release)
        return release

    def promote(self, model: str) -> Release:
        release = self.publish(model)
        self.direct(model, release)
        return release

    def direct(self, model: str, release: Release) -> None:
        self._write(model, Served(digest=release.digest, semantic_version="1.0.0"))

    def withdraw(self, model: str) -> None:
        self._write(model, None)

    def _write(self, model: str, champion: Served | None) -> None:
        self._revision += 1
        self.store.write_traffic(Traffic(model=model, revision=self._revision, champion=champion))

    def graph_of(self, release: Release) -> Path:
        return Path(self.store.location, "releases", release.identity.model, release.digest, GRAPH)


@pytest.fixture
def shop(tmp_path: Path) -> _Shop:
    return _Shop(tmp_path)


def _follow(shop: _Shop, patterns: Sequence[str], listener: Listener) -> AbstractContextManager[Repository]:
    return following_repository(shop.store, listener, patterns)


def _states(repository: Repository) -> dict[str, bool]:
    return {state.name: state.is_ready for state in repository.states()}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("*",), ["bikes", "buses", "fares"]),
        (("b*",), ["bikes", "buses"]),
        (("fares",), ["fares"]),
        (("fares", "bi*"), ["bikes", "fares"]),
        (("x*",), []),
    ],
)
def test_the_models_that_match_are_loaded(shop: _Shop, patterns: Sequence[str], expected: list[str]) -> None:
    for model in ("fares", "bikes", "buses"):
        shop.promote(model)
    listener = Listener()
    with _follow(shop, patterns, listener) as repository:
        assert repository.states() == [ModelState(name, ("1.0.0",), is_ready=True) for name in expected]
        assert sorted(listener.cores) == expected


def test_a_model_that_is_promoted_later_comes(shop: _Shop) -> None:
    listener = Listener()
    with _follow(shop, ("*",), listener) as repository:
        assert repository.states() == []
        shop.promote("fares")
        listener.wait(loaded=1)
        shop.promote("bikes")
        listener.wait(loaded=2)
        assert _states(repository) == {"bikes": True, "fares": True}


def test_a_withdrawn_model_leaves_and_comes_back(shop: _Shop) -> None:
    shop.promote("fares")
    shop.promote("bikes")
    listener = Listener()
    with _follow(shop, ("*",), listener) as repository:
        kept = listener.cores["bikes"].traffic
        shop.withdraw("fares")
        listener.wait(loaded=2, left=1)
        assert (listener.left, _states(repository)) == (["fares"], {"bikes": True})
        shop.store.wait_for_looks(6)
        assert (listener.left, listener.failed) == (["fares"], [])
        shop.promote("fares")
        listener.wait(loaded=3)
        assert _states(repository) == {"bikes": True, "fares": True}
        assert listener.cores["bikes"].traffic is kept


def test_a_service_starts_without_a_model_that_is_withdrawn(shop: _Shop) -> None:
    shop.promote("fares")
    shop.withdraw("fares")
    with _follow(shop, ("fares",), Listener()) as repository:
        assert repository.states() == []


def _tamper(path: Path) -> bytes:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return content


def test_a_model_that_cannot_be_loaded_does_not_keep_the_others(shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.serving.answering.follower._RETRY_S", 0.01)
    broken, _ = shop.promote("fares"), shop.promote("bikes")
    whole = _tamper(shop.graph_of(broken))
    listener = Listener()
    with _follow(shop, ("*",), listener) as repository:
        good, bad = repository.states()
        assert (good, bad.name, bad.is_ready, bad.versions) == (
            ModelState("bikes", ("1.0.0",), True),
            "fares",
            False,
            (),
        )
        assert "was tampered with" in bad.reason
        assert [str(error) for error in listener.failed] == [bad.reason]
        shop.promote("trams")
        listener.wait(loaded=2)
        shop.graph_of(broken).write_bytes(whole)
        listener.wait(loaded=3)
        assert _states(repository) == {"bikes": True, "fares": True, "trams": True}


def test_without_any_model_that_can_be_loaded_it_does_not_start(shop: _Shop) -> None:
    for model in ("fares", "bikes"):
        _tamper(shop.graph_of(shop.promote(model)))
    with (
        pytest.raises(ReleaseError, match=r"(?s)bikes: .*tampered.*; fares: .*tampered"),
        _follow(shop, ("*",), Listener()),
    ):
        pass
    with pytest.raises(ReleaseError, match="tampered"), _follow(shop, ("fares",), Listener()):
        pass
    with pytest.raises(NotFoundError, match="no release of trams takes traffic"), _follow(shop, ("trams",), Listener()):
        pass


def test_a_listener_that_cannot_take_a_model_up_keeps_it_out(shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.serving.answering.follower._RETRY_S", 0.01)

    class Choosy(Listener):
        takes_all = False

        def on_loaded(self, core: Core, seconds: float) -> None:
            if core.model == "fares" and not self.takes_all:
                raise AthanorError("no room in the prediction log")
            super().on_loaded(core, seconds)

    shop.promote("fares")
    shop.promote("bikes")
    listener = Choosy()
    with _follow(shop, ("*",), listener) as repository:
        assert [(state.name, state.reason) for state in repository.states() if not state.is_ready] == [
            ("fares", "no room in the prediction log")
        ]
        listener.takes_all = True
        listener.wait(loaded=2)
        assert _states(repository) == {"bikes": True, "fares": True}


def test_a_listing_that_fails_stops_no_model(shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.promote("fares")
    listener, failed = Listener(), threading.Event()

    def fail() -> list[str]:
        failed.set()
        raise OSError("the bucket is away")

    with _follow(shop, ("*",), listener) as repository:
        monkeypatch.setattr(shop.store, "list_traffic", fail)
        assert failed.wait(60)
        shop.withdraw("fares")
        listener.wait(left=1)
        assert _states(repository) == {}


def test_one_model_is_looked_at_when_it_is_asked_for(shop: _Shop) -> None:
    listener = Listener()
    repository = _unfollowed(shop, listener)
    with pytest.raises(ModelNotFoundError, match="'fares' takes no traffic here; give it a champion"):
        repository.look("fares")
    release = shop.promote("fares")
    assert repository.look("fares") == ModelState("fares", ("1.0.0",), is_ready=True)
    shop.withdraw("fares")
    assert repository.look("fares") == ModelState("fares", (), is_ready=False)
    whole = _tamper(shop.graph_of(release))
    shop.direct("fares", release)
    assert "tampered" in repository.look("fares").reason
    shop.graph_of(release).write_bytes(whole)
    # What has failed is tried again at once.
    assert repository.look("fares").is_ready


def _unfollowed(shop: _Shop, listener: Listener) -> Repository:
    return Repository(shop.store, ("*",), lambda model: Loader(model, shop.store, 100), listener)


def test_models_are_looked_at_by_several_threads_at_once(shop: _Shop) -> None:
    for model in ("fares", "bikes"):
        shop.promote(model)
    listener = Listener()
    repository = _unfollowed(shop, listener)
    for _ in range(3):
        shop.withdraw("fares")
        _at_once([lambda: repository.look("fares")] * 4)
        shop.promote("fares")
        _at_once([lambda: repository.look("fares")] * 4)
    assert len(listener.left) == 3
    assert _states(repository) == {"bikes": True, "fares": True}
    assert wait_until(lambda: len(listener.loaded) == 5, 60)


def _at_once(works: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
