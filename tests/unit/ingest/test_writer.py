"""The writer: one insert where it can, and never a good line lost to a bad one."""

from __future__ import annotations

import pytest

from services.ingest import writer
from services.ingest.gate import Line
from services.ingest.writer import write
from shared.bus.port import Message
from shared.store.port import DataRefused, StoreError


class Picky:
    """Refuses any insert with a line in it that says ``bad``."""

    def __init__(self, error: StoreError | None = None) -> None:
        self.stored: list[bytes] = []
        self.inserts = 0
        self.error = error

    async def insert_lines(self, table: str, lines: bytes, *, token: str | None = None) -> None:
        self.inserts += 1
        if self.error:
            raise self.error
        if b"bad" in lines:
            raise DataRefused("cannot parse it")
        self.stored += lines.split(b"\n")


def lines(*values: bytes) -> list[Line]:
    return [Line(value, Message("t", 0, offset, b"k", value, 0), 1) for offset, value in enumerate(values)]


async def test_a_good_batch_is_one_insert() -> None:
    store = Picky()
    assert await write(store, "landing", lines(b"a", b"b", b"c")) == []  # type: ignore[arg-type]
    assert (store.inserts, store.stored) == (1, [b"a", b"b", b"c"])


async def test_what_the_store_refuses_is_found_by_halves() -> None:
    store = Picky()
    batch = [b"good %d" % n for n in range(1000)]
    batch[137] = batch[700] = b"bad"
    dead = await write(store, "landing", lines(*batch))  # type: ignore[arg-type]
    assert [letter.message.offset for letter in dead] == [137, 700]
    assert {letter.stage for letter in dead} == {"store"} and dead[0].reason == "cannot parse it"
    assert store.stored == [value for value in batch if value != b"bad"]
    assert store.inserts < 50


@pytest.mark.parametrize("permanent", [False, True])
async def test_a_store_in_trouble_refuses_the_batch_not_its_lines(permanent: bool) -> None:
    store = Picky(StoreError("the table is gone", permanent=permanent))
    with pytest.raises(StoreError, match="gone"):
        await write(store, "landing", lines(b"a", b"bad"))  # type: ignore[arg-type]
    assert store.inserts == 1


async def test_an_insert_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_INSERT_BYTES", 10)
    store = Picky()
    batch = [b"1234", b"12345", b"1", b"12345678901234567890", b"1"]
    await write(store, "landing", lines(*batch))  # type: ignore[arg-type]
    assert (store.inserts, store.stored) == (3, batch)


async def test_nothing_to_write_is_no_insert() -> None:
    store = Picky()
    assert await write(store, "landing", []) == []  # type: ignore[arg-type]
    assert store.inserts == 0
