"""Opens pages in a headless browser and reports console, requests, document and a screenshot of each.

The browser is Debian's Chromium, driven by the Chrome DevTools protocol through a pipe. Its log would not do: it lacks
the level of console messages, and resources that failed to load.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from support.processes import nothing_survives

needs_browser: Final = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="needs a browser; apt-get install chromium"
)

_TIMEOUT_S: Final = 60.0
# Height that a screenshot can hold.
_TALLEST_PX: Final = 16_000
_FLAGS: Final = (
    "--headless",
    # The sandbox refuses to run as root, the usual user in containers. The pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# The browser reads commands from file descriptor 3 and answers on 4.
_WITH_PIPE: Final = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null'


@dataclass(frozen=True)
class PageVisit:
    """Observations of one visit to a page.

    Attributes:
        console: messages in order, each with its level: "error: …", "warning: …", "log: …". Includes uncaught errors of
            scripts and resources that failed to load.
        requests: requested addresses, the page's own first.
        screenshot: the whole page as PNG.
        dom: the document as HTML, after its scripts have run.
        width: of the content, in CSS pixels; larger than the window if the page needs sideways scrolling.
    """

    console: tuple[str, ...]
    requests: tuple[str, ...]
    screenshot: Path
    dom: str
    width: int


@dataclass
class _Pipe:
    """Commands to a browser, and what it sends: answers and events of all its pages."""

    process: "subprocess.Popen[bytes]"
    unread: bytes = b""
    calls: int = 0

    def send(self, command: Mapping[str, Any]) -> int:
        """Sends a command; returns the number of its answer."""
        self.calls += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": self.calls, **command}).encode() + b"\0")
        self.process.stdin.flush()
        return self.calls

    def receive(self, deadline: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        source = self.process.stdout.fileno()
        while b"\0" not in self.unread:
            if not select.select([source], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError(f"the browser sent nothing for {_TIMEOUT_S:g} s")
            arrived = os.read(source, 1 << 20)
            if not arrived:
                raise RuntimeError("the browser exited")
            self.unread += arrived
        document, _, self.unread = self.unread.partition(b"\0")
        message: dict[str, Any] = json.loads(document)
        return message


@dataclass
class Tab:
    """A page of a running browser.

    Attributes:
        session: the page's; "" for commands to the browser itself.
        events: of this page, in order.
    """

    pipe: _Pipe
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and waits for its result. Keeps the events that arrive meanwhile."""
        session = {"sessionId": self.session} if self.session else {}
        number = self.pipe.send({"method": method, "params": parameters, **session})
        deadline = time.monotonic() + _TIMEOUT_S
        while (answer := self.pipe.receive(deadline)).get("id") != number:
            self._keep(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait_until_loaded(self, loader: str) -> None:
        """Waits until the page and its resources have loaded or failed, then for half a second of silence."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not any(
            parameters["loaderId"] == loader and parameters["name"] == "networkIdle"
            for parameters in self.find("Page.lifecycleEvent")
        ):
            self._keep(self.pipe.receive(deadline))

    def find(self, method: str) -> Iterator[dict[str, Any]]:
        return (event["params"] for event in self.events if event.get("method") == method)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_until(self, condition: str) -> None:
        """Waits until a JavaScript expression is true in the page, even if another page has replaced it."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{condition} did not become true within {_TIMEOUT_S:g} s")
            time.sleep(0.01)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Presses a key.

        Args:
            key, code, text: name, number and text of the key: "a", 65, "a".
        """
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def _keep(self, event: dict[str, Any]) -> None:
        # A page that was closed may still send some.
        if event.get("sessionId") == self.session:
            self.events.append(event)


@dataclass(frozen=True)
class Browser:
    """A running browser. Each page has a profile of its own, as in a new browser."""

    pipe: _Pipe

    def visit(
        self,
        page: Path | str,
        folder: Path,
        *,
        width: int = 1200,
        is_dark: bool = False,
        is_printed: bool = False,
        act: Callable[[Tab], object] = lambda tab: None,
    ) -> PageVisit:
        """Opens a page, observes and closes it.

        Args:
            page: a file, or an address.
            folder: for the screenshot.
            width: of the window, in CSS pixels.
            is_dark: whether the reader prefers a dark page.
            is_printed: whether to show it as on paper.
            act: called once the page has loaded, before the observations.
        """
        folder.mkdir(parents=True, exist_ok=True)
        address = page.resolve().as_uri() if isinstance(page, Path) else page
        with self._open_tab() as tab:
            tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
            tab.call("Emulation.setEmulatedMedia", media="print" if is_printed else "screen", features=[scheme])
            arrived = tab.call("Page.navigate", url=address)
            if "errorText" in arrived:
                raise RuntimeError(f"{address}: {arrived['errorText']}")
            tab.wait_until_loaded(arrived["loaderId"])
            act(tab)
            return PageVisit(
                dom=tab.evaluate("document.documentElement.outerHTML"),
                width=tab.evaluate("document.documentElement.scrollWidth"),
                screenshot=_take_screenshot(tab, folder / "page.png"),
                console=tuple(_list_console(tab)),
                requests=tuple(sent["request"]["url"] for sent in tab.find("Network.requestWillBeSent")),
            )

    @contextmanager
    def _open_tab(self) -> Iterator[Tab]:
        tab = Tab(self.pipe)
        profile = tab.call("Target.createBrowserContext")["browserContextId"]
        target = tab.call("Target.createTarget", url="about:blank", browserContextId=profile)["targetId"]
        tab.session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.call("Page.setLifecycleEventsEnabled", enabled=True)
        try:
            yield tab
        finally:
            tab.session = ""
            tab.call("Target.disposeBrowserContext", browserContextId=profile)


@contextmanager
def running_browser(folder: Path) -> Iterator[Browser]:
    """A browser with its profile and log in a folder; no process of it survives."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["sh", "-c", _WITH_PIPE, "sh", "chromium", *_FLAGS, f"--user-data-dir={folder / 'profile'}"]
    with nothing_survives(), (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
            start_new_session=True,
        )
        try:
            pipe = _Pipe(process)
            yield Browser(pipe)
            Tab(pipe).call("Browser.close")
            process.wait(_TIMEOUT_S)
        finally:
            # Its whole session, if it has not ended in peace.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            shutil.rmtree(folder / "profile", ignore_errors=True)


def _take_screenshot(tab: Tab, path: Path) -> Path:
    size = tab.call("Page.getLayoutMetrics")["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], _TALLEST_PX), "scale": 1}
    picture = tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    path.write_bytes(base64.b64decode(picture["data"]))
    return path


def _list_console(tab: Tab) -> Iterator[str]:
    for event in tab.events:
        match event:
            case {"method": "Runtime.consoleAPICalled", "params": {"type": level, "args": values}}:
                texts = (str(value.get("value", value.get("description", value["type"]))) for value in values)
                yield f"{level}: {' '.join(texts)}"
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                yield f"error: {details['text']} {details.get('exception', {}).get('description', '')}"
            case {"method": "Log.entryAdded", "params": {"entry": entry}}:
                yield f"{entry['level']}: {entry['text']} {entry.get('url', '')}"
