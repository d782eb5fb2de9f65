"""What answers to a posted batch mean."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any

import pytest

from services.agent.replies import LONGEST_WAIT, STUBBORN_WAIT, Refused, Taken, explain, judge

URL = "https://lapwing.example.org"


def verdict(status: int, body: Any = b"", **headers: str) -> Taken | Refused:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return judge(status, sent, content, lines=3, where=URL, token="lw_0f1e")


def success(accepted: Any = 3, rejected: Any = 0, reasons: Any = ()) -> dict[str, Any]:
    data = {"accepted": accepted, "rejected_count": rejected, "rejected": list(reasons)}
    return {"success": True, "code": 200, "message": "Success", "data": data}


def failure(status: int, message: str = "because") -> dict[str, Any]:
    return {"success": False, "code": status, "message": message}


def refusal(status: int, body: Any = b"", **headers: str) -> Refused:
    found = verdict(status, body, **headers)
    assert isinstance(found, Refused)
    return found


def test_a_batch_is_taken_when_every_line_is_accounted_for() -> None:
    assert verdict(200, success()) == Taken()
    assert verdict(200, success(1, 2, [{"line": 2, "reason": "r"}, {"line": 3, "reason": "s"}])) == Taken(2, "r")
    assert verdict(200, success(0, 3)) == Taken(3, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>please log in</html>",
        b"[" * 100_000,
        {"ok": True},
        failure(200),
        success(2),
        success(3, 1),
        success("3"),
        success(True, 2),
        {"success": True, "code": 200, "message": "", "data": None},
    ],
)
def test_a_200_that_no_lapwing_gave_for_this_batch_takes_nothing(body: Any) -> None:
    found = refusal(200, body)
    assert not found.permanent
    assert found.wait == STUBBORN_WAIT
    assert "LAPWING_AGENT__URL" in found.reason


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_named_and_its_events_wait(status: int) -> None:
    found = refusal(status, failure(status, "of host a only"))
    assert not found.permanent
    assert found.wait == STUBBORN_WAIT
    assert "lw_0f1e" in found.reason


def test_too_large_is_for_good_so_that_the_batch_is_split() -> None:
    assert refusal(413, failure(413)).permanent
    assert refusal(413, b"<html>a proxy says so").permanent


def test_what_only_a_proxy_finds_wrong_is_never_for_good() -> None:
    assert refusal(400, failure(400)).permanent
    assert refusal(422, failure(422)).permanent
    assert not refusal(400, b"<html>plain HTTP was sent to an HTTPS port").permanent


@pytest.mark.parametrize(
    ("status", "given", "wait"),
    [
        (429, "12", 12.0),
        (429, "", 5.0),
        (503, "2", 2.0),
        (503, "", 0.0),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        (503, "-5", 0.0),
        (503, "99999999999", LONGEST_WAIT),
        (502, "", 0.0),
        (504, "", 0.0),
        (500, "", 0.0),
        (404, "", STUBBORN_WAIT),
        (421, "", STUBBORN_WAIT),
    ],
)
def test_it_comes_back_when_told(status: int, given: str, wait: float) -> None:
    found = refusal(status, failure(status), retry_after=given)
    assert (found.permanent, found.wait) == (False, wait)


def test_a_redirect_is_not_followed_with_the_token_but_named() -> None:
    assert "https://other.example.org/" in refusal(301, location="https://other.example.org/").reason


def test_an_encoding_that_is_not_understood_is_told_apart() -> None:
    assert refusal(415, failure(415)).unknown_encoding


def distrust(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (distrust(10, "certificate has expired"), "has expired"),
        (distrust(9, "not yet valid"), "not valid yet"),
        (distrust(62, "Hostname mismatch, certificate is not valid for 'a'."), "for another name: Hostname mismatch"),
        (distrust(19, "self-signed certificate in certificate chain"), "LAPWING_AGENT__URL_CAFILE"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "does it speak https"),
        (ssl.SSLEOFError(8, "EOF"), "closed the connection"),
        (TimeoutError(), "20 s"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (ConnectionRefusedError(), "nothing listens"),
        (http.client.RemoteDisconnected(""), "closed the connection"),
        (http.client.BadStatusLine("x"), "does not speak HTTP"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (OSError(), "OSError"),
    ],
)
def test_why_there_was_no_answer_is_one_sentence(error: BaseException, says: str) -> None:
    sentence = explain(error, URL, 20.0)
    assert says in sentence
    assert URL in sentence
    assert "\n" not in sentence
