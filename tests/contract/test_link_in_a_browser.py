"""The page behind a link of a mail, in a real browser: a load does nothing, a person's first move does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from services.api.server import Server
from tests.contract.test_api_links import api, link, writer
from tests.support.api import Api
from tests.support.browser import chromium, page
from tests.support.store import empty_store, fresh_store
from tests.support.waiting import eventually
from tests.support.wire import Wire, wire

__all__ = ["api", "empty_store", "fresh_store", "wire", "writer"]


@pytest.fixture(scope="module")
def browser() -> Iterator[str]:
    with chromium() as address:
        yield address


@pytest.fixture
async def site(api: Api) -> AsyncIterator[str]:
    server = Server(api.app)
    _, port = await server.start_tcp("127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await server.stop()


SIGNS: dict[str, dict[str, Any]] = {
    "Input.dispatchMouseEvent": {"type": "mouseMoved", "x": 5, "y": 5},
    "Input.dispatchTouchEvent": {"type": "touchStart", "touchPoints": [{"x": 5, "y": 5}]},
    "Input.dispatchKeyEvent": {"type": "keyDown", "key": "Tab", "code": "Tab"},
}


async def test_a_load_does_nothing_and_the_first_sign_of_a_person_does_it_once(
    browser: str, site: str, api: Api, wire: Wire
) -> None:
    for sign, how in SIGNS.items():
        wire.told.clear()
        async with page(browser) as it:
            await it.open(site + link(api, "ack", nonce=sign))
            assert await it.value("document.forms.length") == 1, "it only asks"
            assert wire.told == [], "and has done nothing"
            await it.do(sign, **how)
            await eventually(lambda: len(wire.told) == 2, that="it is acknowledged, and the link used")
            assert [key for key, _ in wire.told] == ["ack:l1", f"link:{sign}"]
            await it.do(sign, **how)
            assert len(wire.told) == 2
