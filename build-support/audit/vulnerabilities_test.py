"""The audit fails on a known vulnerability, and when there is no answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from audit.vulnerabilities import audit

ALPHA = {
    "id": "GHSA-0000-0000-0001",
    "summary": "It admits every caller.",
    "published": "2026-01-01T00:00:00Z",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "alpha", "ecosystem": "PyPI"},
            "versions": ["1.0"],
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    hashed = "--hash=sha256:" + "0" * 64
    path = tmp_path / "some.lock"
    path.write_text(f"alpha==1.0 \\\n    {hashed}\nbeta==2.0 {hashed}\n")
    return path


@contextmanager
def service(known: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Speaks OSV's protocol on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"vulns": known.get(asked["package"]["name"], [])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


def ask(lock: Path, address: str) -> int:
    # The cache of pip-audit would otherwise lie in the user's home.
    options = ["--vulnerability-service=osv", f"--osv-url={address}", f"--cache-dir={lock.parent / 'cache'}"]
    return audit([lock], [*options, "--timeout=10"])


def test_a_lock_without_known_vulnerabilities_passes(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service({}) as address:
        assert ask(lock, address) == 0
    assert "0 known vulnerabilities" in capsys.readouterr().out


def test_a_known_vulnerability_is_reported_and_fails(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service({"alpha": [ALPHA]}) as address:
        assert ask(lock, address) == 3
    assert "alpha 1.0: GHSA-0000-0000-0001, fixed in 1.1" in capsys.readouterr().out


def test_without_a_service_the_audit_fails_loudly(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service({}) as address:
        pass  # it has stopped, so its port refuses connections
    assert ask(lock, address) == 1
    assert "NOT AUDITED" in capsys.readouterr().err
