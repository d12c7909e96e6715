"""The models of a service: those among the store's traffic files that it is to serve. They come and go as it runs."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from athanor.contract.shown import shown
from athanor.errors import ModelNotFoundError, ReleaseError
from athanor.model_names import is_exact, matches
from athanor.release.store import ReleaseStore
from athanor.serving.answering.follower import Follower, Listener
from athanor.serving.answering.loading import Loader

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelState:
    """What a service can say of one of its models.

    Attributes:
        versions: that a request may name, oldest first; empty if it does not answer.
        reason: why it, or a part of it, cannot be loaded; "" if all is well.
    """

    name: str
    versions: tuple[str, ...]
    is_ready: bool
    reason: str = ""


def select_models(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The names that a service serves by its patterns, in alphabetical order; and each name in the patterns.

    >>> select_models(["fares", "flight_delay", "flight_delay.v2"], ["flight*"])
    ['flight_delay', 'flight_delay.v2']
    >>> select_models([], ["fares", "flight*"])
    ['fares']
    """
    found = {name for name in names if matches(name, patterns)}
    return sorted(found.union(filter(is_exact, patterns)))


class Repository:
    """Keeps the models of a service up to date with the store, each by its own traffic file, in one thread."""

    def __init__(
        self,
        store: ReleaseStore,
        patterns: Sequence[str],
        make_loader: Callable[[str], Loader],
        listener: Listener,
    ) -> None:
        """Loads every model.

        Args:
            patterns: names of models, or patterns of names.
            make_loader: returns the loader of a model.

        Raises:
            AthanorError: there are models, and none of them can be loaded; says why.
        """
        self._store = store
        self._patterns = patterns
        self._make_loader = make_loader
        self._listener = listener
        self._followers: dict[str, Follower] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._look_at_all(self._select())
        self._require_one()

    def _require_one(self) -> None:
        failures = {name: f.failure for name, f in self._followers.items() if f.failure}
        if not failures or any(follower.core for follower in self._followers.values()):
            return
        if len(failures) == 1:
            (failure,) = failures.values()
            raise failure
        reasons = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
        raise ReleaseError(f"none of {len(failures)} models can be loaded: {reasons}")

    def follow(self, poll_s: float, on_poll: Callable[[], None] = lambda: None) -> None:
        """Follows the store from now on.

        Args:
            on_poll: called before each look.
        """

        def work() -> None:
            while not self._closing.wait(poll_s):
                names: Iterable[str] = self._followers
                try:
                    on_poll()
                    names = self._select()
                except Exception:
                    # A bucket's library may raise anything; this thread must survive it.
                    _logger.exception("cannot look for models")
                self._look_at_all(names)

        self._thread = threading.Thread(target=work, name="traffic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Follows no more. A second call does nothing."""
        self._closing.set()
        if self._thread:
            self._thread.join()

    def look(self, model: str) -> ModelState:
        """Follows the traffic file of one model now, and tries again what has failed. Returns how it stands then.

        Raises:
            ModelNotFoundError: the service does not serve a model of that name.
        """
        if model not in self._select():
            raise ModelNotFoundError(
                f"model {shown(model)} takes no traffic here; give it a champion: athanor registry promote"
            )
        self._follower(model).look(again=True)
        return self._state(model)

    def states(self) -> list[ModelState]:
        """Each model, by name. Withdrawn ones are left out."""
        # Atomic: other threads add models.
        followers = dict(self._followers)
        return [self._state(name) for name, f in sorted(followers.items()) if f.core or f.failure]

    def _state(self, name: str) -> ModelState:
        follower = self._followers[name]
        core = follower.core
        return ModelState(
            name,
            tuple(core.traffic.versions) if core else (),
            core is not None,
            str(follower.failure) if follower.failure else "",
        )

    def _look_at_all(self, names: Iterable[str]) -> None:
        for name in tuple(names):
            if self._closing.is_set():
                return
            self._follower(name).look()

    def _select(self) -> list[str]:
        """The models to follow. One that is followed stays: a file that vanishes is reported as its failure."""
        listed = self._store.list_traffic() if not all(map(is_exact, self._patterns)) else []
        return select_models((*listed, *self._followers), self._patterns)

    def _follower(self, name: str) -> Follower:
        # Atomic, as above.
        return self._followers.setdefault(name, Follower(self._make_loader(name), self._listener))
