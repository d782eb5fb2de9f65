"""What people said of anomalies, out of the store."""

from __future__ import annotations

from services.history.statements import statement
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.control import Feedback
from shared.store.port import Store


async def said(store: Store) -> list[Feedback]:
    """Every opinion in force, in no order. Raises ``StoreError``."""
    decoder = Decoder(Feedback)
    rows = await store.query(statement("decisions"))
    return [e for (value,) in rows for e in decoder.lines(value.encode()) if not isinstance(e, BadLine)]
