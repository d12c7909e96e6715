"""A caller of the REST doors in the same process."""

import asyncio
from typing import Any

import httpx
from starlette.applications import Starlette
from support.receptions import Counter

from athanor.serving.doors.rest import build_rest


class RestClient:
    """Asks an application as a server would let it be asked: what it raises is not seen, only what it answers."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.app: Starlette = build_rest(counter.reception, counter.settings)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self.ask(method, path, **options))

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)
