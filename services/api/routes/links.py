"""``/a/{token}``: a page that says what a link from a message will do, and does it when its button is pressed.

Its script presses the button at the first sign of a person: a pointer that moves, a touch, a key. Programs that fetch
what they find in mails change nothing, nor do those that run the scripts they find there.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.responses import Response

from services.api import messages
from services.api.ask import Ask
from services.api.errors import ApiError
from services.api.links import Followed
from services.api.messages import Text
from services.api.route import Route

_SCRIPT = (
    "const form=document.forms[0];let sent=false;"
    "form.onsubmit=()=>!sent&&(sent=true);"
    'for(const sign of["pointermove","touchstart","keydown"])addEventListener(sign,()=>form.requestSubmit())'
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;color:#1c2733;"
    "background:#f6f8fa}h1{font-size:1.3rem}p{overflow-wrap:anywhere}button{font:inherit;padding:.5rem 1.2rem;"
    "border:0;border-radius:.4rem;background:#0b66c3;color:#fff}small{color:#5a6875}"
    "@media(prefers-color-scheme:dark){body{color:#dce3ea;background:#12181f}small{color:#93a1af}}"
)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CSP = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_STATUS = {"asked": 200, "done": 200, "used": 200, "expired": 410, "unknown": 404, "over": 200}
_SAYS = {
    "done": messages.LINK_DONE,
    "used": messages.LINK_USED,
    "expired": messages.LINK_EXPIRED,
    "unknown": messages.LINK_UNKNOWN,
    "over": messages.LINK_OVER,
}


async def look(ask: Ask) -> Response:
    return await _answered(ask, follow=False)


async def follow(ask: Ask) -> Response:
    return await _answered(ask, follow=True)


async def _answered(ask: Ask, *, follow: bool) -> Response:
    links = ask.deps.links
    try:
        found = await (links.follow if follow else links.look)(ask.path("token"), ask.now_ms)
    except ApiError as error:
        return _page(ask, error.status, error.text.say(ask.language), "", headers=error.headers)
    title = _title(found).say(ask.language)
    if found.outcome == "asked":
        button = escape(messages.LINK_BUTTON.say(ask.language))
        form = f'<form method="post"><button type="submit">{button}</button></form><script>{_SCRIPT}</script>'
        return _page(ask, 200, title, _about(found, ask), form)
    says = _SAYS[found.outcome].say(ask.language)
    return _page(ask, _STATUS[found.outcome], says, _about(found, ask))


def _title(found: Followed) -> Text:
    action = found.link.action if found.link else ""
    return {
        "ack": messages.LINK_ACK,
        "silence": messages.LINK_SILENCE,
        "normal": messages.LINK_NORMAL,
    }.get(action, messages.LINK_UNKNOWN)


def _about(found: Followed, ask: Ask) -> str:
    if found.alert is None:
        return ""
    action = "" if found.outcome == "asked" else f"<p><small>{escape(_title(found).say(ask.language))}</small></p>"
    summary = found.alert["summary"] or found.alert["rule"]
    return f"<p><strong>{escape(found.alert['host'])}</strong>: {escape(summary)}</p>{action}"


def _page(
    ask: Ask, status: int, title: str, about: str, form: str = "", headers: dict[str, str] | None = None
) -> Response:
    language = "en" if ask.language == "en" else "zh"
    content = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{about}{form}</body></html>"
    )
    sent = {"Content-Security-Policy": CSP, "Cache-Control": "no-store", **(headers or {})}
    return Response(content, status_code=status, media_type="text/html; charset=utf-8", headers=sent)


ROUTES = [
    Route("GET", "/a/{token}", look, None, "What a link will do", "pages", media_type="text/html"),
    Route("POST", "/a/{token}", follow, None, "Do it, once", "pages", media_type="text/html"),
]
