"""The pages: what a browser gets. Self-contained; nothing is ever fetched from elsewhere."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from starlette.responses import Response

from services.api.ask import Ask
from services.api.route import Answer, Route

_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@cache
def _file(name: str) -> tuple[bytes, str]:
    content = resources.files("services.api").joinpath("page", name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:20]}"'


def _page(name: str) -> Answer:
    async def answer(ask: Ask) -> Response:
        content, tag = _file(name)
        headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache", "ETag": tag}
        if ask.header(b"if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_TYPES[name.rsplit(".")[-1]], headers=headers)

    return answer


ROUTES = [
    Route("GET", path, _page(name), None, text, "pages", media_type="text/html")
    for path, name, text in (
        ("/", "index.html", "The dashboard"),
        ("/docs", "docs.html", "This documentation"),
        ("/page/index.js", "index.js", ""),
        ("/page/docs.js", "docs.js", ""),
        ("/page/style.css", "style.css", ""),
    )
]
