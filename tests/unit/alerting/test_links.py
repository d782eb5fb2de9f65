"""Signed links: who may act without a login, on what, and until when."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.alerting.links import Action, Link, Refusal, link_secret, nonce_of, read, sign
from shared.runtime.settings import Settings, SettingsError

SECRET = "a secret that nobody knows"
NOW = 1_800_000_000_000
TOKEN = sign(SECRET, "ack", "0123456789abcdef0123456789abcdef", None, NOW + 60_000, "n1")


@given(
    action=st.sampled_from(["ack", "silence", "normal"]),
    alert_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    anomaly_id=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    after_s=st.integers(1, 10_000_000),
)
def test_what_was_signed_is_what_is_read(action: Action, alert_id: str, anomaly_id: str | None, after_s: int) -> None:
    expires = NOW + after_s * 1000
    token = sign(SECRET, action, alert_id, anomaly_id, expires, "n1")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)
    assert read(SECRET, token, NOW) == Link(action, alert_id, anomaly_id, expires, "n1")
    assert read(SECRET, token, expires) is Refusal.EXPIRED
    assert read(SECRET + "x", token, NOW) is Refusal.NOT_OURS


def test_it_is_short_enough_for_a_line_of_a_mail() -> None:
    assert len(TOKEN) < 120


@given(at=st.integers(0, len(TOKEN) - 1), char=st.characters(codec="utf-8"))
def test_whoever_changes_a_character_is_refused(at: int, char: str) -> None:
    changed = TOKEN[:at] + char + TOKEN[at + 1 :]
    answer = read(SECRET, changed, NOW)
    # The last bits of base64's last character mean nothing.
    assert changed == TOKEN or answer is Refusal.NOT_OURS or (at == len(TOKEN) - 1 or TOKEN[at + 1] == ".")


@pytest.mark.parametrize(
    "token", ["", ".", "a", "a.b", "=.=", TOKEN[:-8], TOKEN + "." + TOKEN, "A" * 100_000 + ".A", "é"]
)
def test_nonsense_is_refused_in_words(token: str) -> None:
    assert read(SECRET, token, NOW) is Refusal.NOT_OURS


def test_a_message_sent_again_has_the_same_links_and_another_message_has_not() -> None:
    assert nonce_of(SECRET, "n", "a", "ack") == nonce_of(SECRET, "n", "a", "ack")
    others = {
        nonce_of(SECRET, *p) for p in [("n", "a", "ack"), ("n", "a", "silence"), ("m", "a", "ack"), ("na", "", "ack")]
    }
    assert len(others) == 4
    assert nonce_of("another secret", "n", "a", "ack") not in others


def settings(tmp_path: Path, **alerter: object) -> Settings:
    return Settings.model_validate({"data_dir": tmp_path / "data", "alerter": alerter})


def test_the_setting_is_the_secret(tmp_path: Path) -> None:
    assert link_secret(settings(tmp_path, link_secret=SECRET)) == SECRET
    assert not (tmp_path / "data").exists()


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LAPWING_ALERTER__LINK_SECRET: must have at least 16 characters"):
        link_secret(settings(tmp_path, link_secret="short"))


def test_without_the_setting_one_is_made_once_for_nobody_else_to_read(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: link_secret(settings(tmp_path)), range(16)))
    assert len(made) == 1
    assert len(made.pop()) >= 32
    (file,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SettingsError, match="cannot be made"):
        link_secret(settings(tmp_path))


def test_there_is_one_way_to_write_a_link() -> None:
    """The last character of a signature has bits that mean nothing."""
    token = sign(SECRET, "ack", "a1", None, 2000, "n")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [last for last in letters if read(SECRET, token[:-1] + last, 0) is not Refusal.NOT_OURS] == [token[-1]]
