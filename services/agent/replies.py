"""What an answer to a posted batch means, and why there was none: again, or never, and when."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STUBBORN_WAIT = 30.0  # seconds before what only a person can mend is tried again
LIMITED_WAIT = 5.0  # after a 429 that does not say
LONGEST_WAIT = 600.0

_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64  # OpenSSL's numbers


@dataclass(frozen=True)
class Taken:
    """Every line was accepted, but for ``rejected`` that never will be; ``reason`` is the first one's."""

    rejected: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Refused:
    """``wait``: seconds in which asking again is pointless."""

    reason: str
    permanent: bool = False
    wait: float = 0.0
    unknown_encoding: bool = False


def judge(
    status: int, headers: Mapping[str, str], body: bytes, *, lines: int, where: str, token: str
) -> Taken | Refused:
    """``headers`` by lower-case name; ``token`` is how we call ours, without its secret.

    Only an answer that can be nobody else's than a Lapwing's counts as taken: a proxy or a portal in between says 200
    as well.
    """
    envelope = _envelope(body)
    said = str(envelope.get("message", "")) or f"status {status}"
    if status == 200:
        return _taken(envelope, lines) or Refused(
            f"what answers at {where} is not a Lapwing: see LAPWING_AGENT__URL", wait=STUBBORN_WAIT
        )
    if status == 401:
        return Refused(
            f"{where} does not know the agent token {token}: it is wrong, expired or revoked; "
            "make another there with `lapwing token create NAME --scope ingest`",
            wait=STUBBORN_WAIT,
        )
    if status == 403:
        return Refused(f"{where} refuses the agent token {token}: {said}", wait=STUBBORN_WAIT)
    if status == 413:
        return Refused(f"the batch is too large for {where}: {said}", permanent=True)
    if status == 415:
        return Refused(f"{where} cannot unpack the batch: {said}", unknown_encoding=True)
    if status == 429:
        return Refused(f"{where} wants fewer events: {said}", wait=_seconds(headers, LIMITED_WAIT))
    if status in (408, 500, 502, 503, 504):
        return Refused(f"{where} cannot take events at the moment: {said}", wait=_seconds(headers, 0.0))
    if status in (400, 422) and envelope:
        return Refused(f"{where} does not take the batch: {said}", permanent=True)
    if 300 <= status < 400:
        to = headers.get("location", "elsewhere")[:200]
        return Refused(f"{where} sends us to {to}: set LAPWING_AGENT__URL to that", wait=STUBBORN_WAIT)
    return Refused(f"{where} does not take events: {said}; see LAPWING_AGENT__URL", wait=STUBBORN_WAIT)


def explain(error: BaseException, where: str, seconds: float) -> str:
    """Why there was no answer, in one sentence that says what to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error, where)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        why = getattr(error, "reason", None) or str(error)
        return f"no encrypted connection to {where}: does it speak https there? ({why})"
    if isinstance(error, TimeoutError):
        return f"{where} has not answered for {seconds:g} s"
    if isinstance(error, socket.gaierror):
        return f"the name in {where} cannot be resolved: see LAPWING_AGENT__URL"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {where}"
    if isinstance(error, ConnectionError | ssl.SSLError):  # http.client's RemoteDisconnected is one
        return f"{where} closed the connection without an answer"
    if isinstance(error, http.client.HTTPException):
        return f"what answers at {where} does not speak HTTP: see LAPWING_AGENT__URL"
    return f"{where} cannot be reached: {getattr(error, 'strerror', None) or str(error) or type(error).__name__}"


def _distrust(error: ssl.SSLCertVerificationError, where: str) -> str:
    if error.verify_code == _EXPIRED:
        return f"the certificate of {where} has expired"
    if error.verify_code == _NOT_YET:
        return f"the certificate of {where} is not valid yet; are the clocks right?"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"the certificate of {where} is for another name: {error.verify_message.rstrip('.')}"
    return f"the certificate of {where} is not trusted ({error.verify_message}): see LAPWING_AGENT__URL_CAFILE"


def _envelope(body: bytes) -> dict[str, Any]:
    """Empty where it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and {"success", "code", "message"} <= found.keys() else {}


def _taken(envelope: Mapping[str, Any], lines: int) -> Taken | None:
    data = envelope.get("data")
    if envelope.get("success") is not True or not isinstance(data, dict):
        return None
    accepted, rejected = data.get("accepted"), data.get("rejected_count")
    if type(accepted) is not int or type(rejected) is not int or accepted + rejected != lines:
        return None
    reasons = data.get("rejected")
    first = reasons[0] if isinstance(reasons, list) and reasons else None
    return Taken(rejected, str(first.get("reason", "")) if isinstance(first, dict) else "")


def _seconds(headers: Mapping[str, str], otherwise: float) -> float:
    text = headers.get("retry-after", "").strip()
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() else otherwise
