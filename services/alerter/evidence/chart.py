"""A small picture of how it came about: numbers only, for no font that is always there has everybody's letters."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime

from PIL import Image, ImageDraw, ImageFont

from services.alerter.evaluation.wording import quantity
from services.alerter.evidence.port import Gathered
from shared.schemas.metrics import BY_NAME

WIDTH, HEIGHT = 1088, 340
"""Pixels; shown at half of it, for screens that are fine."""

_FINER = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 132, 24, 22, 54
_BACK, _GRID, _INK, _LINE = (247, 249, 251), (221, 226, 232), (82, 96, 109), (47, 111, 176)
_LIMIT, _FIRED, _USUAL = (192, 54, 44), (250, 226, 222), (219, 236, 226)


def draw(gathered: Gathered, fired_from: int, fired_until: int | None) -> bytes:
    """A PNG of ``gathered.points``: at least two. The stretch that fired is shaded; epoch milliseconds."""
    points = [(t, v) for t, v in gathered.points if math.isfinite(v)]
    if len(points) < 2:
        return b""
    return _Chart(gathered, points, fired_from, fired_until).png()


class _Chart:
    def __init__(
        self, gathered: Gathered, points: list[tuple[int, float]], fired_from: int, fired_until: int | None
    ) -> None:
        self._gathered = gathered
        self._points = points
        self._fired = (fired_from, fired_until if fired_until is not None else points[-1][0])
        self._from, self._to = points[0][0], max(points[-1][0], points[0][0] + 1)
        marks = [v for _, v in points]
        marks += [gathered.threshold] if gathered.threshold is not None else []
        marks += list(gathered.expected or ())
        unit = _unit(gathered.metric, max(abs(m) for m in marks))
        self._ticks = [unit * tick for tick in ticks(min(marks) / unit, max(marks) / unit)]
        self._image = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), _BACK)
        self._pen = ImageDraw.Draw(self._image)
        self._font = ImageFont.load_default(24 * _FINER)

    def png(self) -> bytes:
        self._shade()
        self._axes()
        self._series()
        out = io.BytesIO()
        self._image.reduce(_FINER).quantize(128, method=Image.Quantize.FASTOCTREE).save(out, "PNG")
        return out.getvalue()

    def _x(self, ms: float) -> float:
        share = (min(max(ms, self._from), self._to) - self._from) / (self._to - self._from)
        return (_LEFT + share * (WIDTH - _LEFT - _RIGHT)) * _FINER

    def _y(self, value: float) -> float:
        low, high = self._ticks[0], self._ticks[-1]
        share = (min(max(value, low), high) - low) / (high - low)
        return (HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)) * _FINER

    def _shade(self) -> None:
        top, bottom = _TOP * _FINER, (HEIGHT - _BOTTOM) * _FINER
        begins, ends = self._fired
        if ends >= self._from and begins <= self._to:
            self._pen.rectangle((self._x(begins), top, max(self._x(ends), self._x(begins) + 2), bottom), fill=_FIRED)
        if self._gathered.expected:
            low, high = self._gathered.expected
            self._pen.rectangle((self._x(self._from), self._y(high), self._x(self._to), self._y(low)), fill=_USUAL)

    def _axes(self) -> None:
        for value in self._ticks:
            y = self._y(value)
            self._pen.line((_LEFT * _FINER, y, (WIDTH - _RIGHT) * _FINER, y), fill=_GRID, width=_FINER)
            self._pen.text(
                ((_LEFT - 12) * _FINER, y),
                _label(self._gathered.metric, value, self._ticks[1] - self._ticks[0]),
                _INK,
                self._font,
                "rm",
            )
        step = time_step(self._to - self._from)
        at = math.ceil(self._from / step) * step
        while at <= self._to:
            x = self._x(at)
            bottom = (HEIGHT - _BOTTOM) * _FINER
            self._pen.line((x, bottom, x, bottom + 8 * _FINER), fill=_INK, width=_FINER)
            self._pen.text((x, bottom + 16 * _FINER), _clock(at, step), _INK, self._font, "mt")
            at += step

    def _series(self) -> None:
        if self._gathered.threshold is not None:
            y = self._y(self._gathered.threshold)
            for x in range(_LEFT, WIDTH - _RIGHT, 18):
                self._pen.line((x * _FINER, y, min(x + 10, WIDTH - _RIGHT) * _FINER, y), fill=_LIMIT, width=3 * _FINER)
        gap = 4 * max(1, _median([b[0] - a[0] for a, b in zip(self._points, self._points[1:], strict=False)]))
        stretch: list[tuple[float, float]] = []
        for (t, value), last in zip(self._points, [self._points[0][0], *(t for t, _ in self._points)], strict=False):
            if t - last > gap:
                self._stroke(stretch)
                stretch = []
            stretch.append((self._x(t), self._y(value)))
        self._stroke(stretch)

    def _stroke(self, stretch: list[tuple[float, float]]) -> None:
        if len(stretch) > 1:
            self._pen.line(stretch, fill=_LINE, width=4 * _FINER, joint="curve")
        for x, y in stretch[:1] if len(stretch) == 1 else ():
            self._pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=_LINE)


def ticks(low: float, high: float) -> list[float]:
    """Three to six round values around both; a value that never moves is in the middle."""
    if low >= 0 and low <= high * 0.6:
        low = 0.0
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - max(1.0, abs(low) * 0.1), high + max(1.0, abs(high) * 0.1)
    raw = (high - low) / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * n for n in range(first, max(last, first + 1) + 1)]


def time_step(length_ms: int) -> int:
    """Milliseconds between two labels: at most seven of them."""
    steps = (1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 10_800_000)
    return next((s for s in steps if length_ms / s <= 7), 86_400_000)


def _label(metric: str, value: float, step: float) -> str:
    text = quantity(metric, value)
    number, _, unit = text.partition(" ")
    if "." in number and step >= 1 and float(step).is_integer():
        number = number.split(".")[0] if float(number) == int(float(number)) else number
    return f"{number} {unit}".strip()


def _unit(metric: str, most: float) -> float:
    """Bytes are counted in powers of 1024, so that is where round numbers are."""
    known = BY_NAME.get(metric)
    if known is None or not known.unit.startswith("bytes") or most < 1024:
        return 1.0
    return 1024.0 ** min(6, int(math.log(most, 1024)))


def _clock(ms: int, step: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S" if step < 60_000 else "%H:%M")


def _median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2] if values else 0
