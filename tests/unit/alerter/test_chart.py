"""The small picture in a mail."""

from __future__ import annotations

import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.alerter.evidence.chart import HEIGHT, WIDTH, _Chart, draw, ticks, time_step
from services.alerter.evidence.port import Gathered

T0 = 1_800_000_000_000


def picture(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def near(image: Image.Image, colour: tuple[int, int, int]) -> int:
    """Pixels of about that colour."""
    return sum(
        n for n, c in image.getcolors(1 << 24) or [] if all(abs(a - b) < 40 for a, b in zip(c, colour, strict=True))
    )


def test_what_fired_the_limit_and_what_is_usual_are_in_it() -> None:
    points = tuple((T0 + i * 10_000, 20 + 70 / (1 + math.exp(40 - i))) for i in range(90))
    bare = picture(draw(Gathered("cpu.percent", points=points), T0 + 10**9, None))
    full = picture(draw(Gathered("cpu.percent", points=points, expected=(10, 30), threshold=80), T0 + 400_000, None))
    assert bare.size == full.size == (WIDTH, HEIGHT)
    limit, line = (192, 54, 44), (47, 111, 176)
    assert near(full, limit) > near(bare, limit) + 200
    assert near(bare, line) > 500
    usual, fired = full.getpixel((500, 212)), full.getpixel((1000, 150))
    assert usual[1] > max(usual[0], usual[2]) + 6  # greenish
    assert fired[0] > fired[1] + 12  # reddish
    assert bare.getpixel((500, 212))[0] > 240


def test_it_is_small_enough_for_a_mail() -> None:
    points = tuple((T0 + i * 1000, math.sin(i) * 50 + 50) for i in range(1800))
    assert len(draw(Gathered("cpu.percent", points=points), T0, None)) < 60_000


@pytest.mark.parametrize("points", [(), ((T0, 1.0),), ((T0, math.nan), (T0 + 1, math.inf))])
def test_too_little_is_no_picture(points: tuple[tuple[int, float], ...]) -> None:
    assert draw(Gathered("cpu.percent", points=points), T0, None) == b""


@settings(max_examples=25)
@given(
    values=st.lists(st.floats(-1e18, 1e18), min_size=2, max_size=30),
    gap=st.integers(0, 10**9),
    threshold=st.none() | st.floats(-1e18, 1e18),
    fired=st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 10**12)),
)
def test_no_values_break_it(values: list[float], gap: int, threshold: float | None, fired: tuple[int, int]) -> None:
    points = tuple((T0 + i * gap, v) for i, v in enumerate(values))
    gathered = Gathered("memory.used_bytes", "é中文", points, None, threshold)
    assert draw(gathered, T0 + fired[0], T0 + fired[0] + fired[1]).startswith(b"\x89PNG")


@given(low=st.floats(-1e12, 1e12), more=st.floats(0, 1e12))
def test_the_axis_holds_what_is_shown(low: float, more: float) -> None:
    found = ticks(low, low + more)
    room = 1e-6 * max(1.0, abs(low), more)
    assert found[0] <= low + room
    assert found[-1] >= low + more - room
    assert 2 <= len(found) <= 8


@pytest.mark.parametrize("length", [1, 1000, 60_000, 1_800_000, 86_400_000])
def test_there_is_room_for_the_times(length: int) -> None:
    assert length / time_step(length) <= 7


def test_bytes_are_round_in_their_own_units() -> None:
    chart = _Chart(Gathered("memory.used_bytes"), [(T0, 2.2 * 2**30), (T0 + 1000, 5.1 * 2**30)], T0, None)
    assert [t / 2**30 for t in chart._ticks] == [0, 2, 4, 6]
