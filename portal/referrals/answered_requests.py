"""Requests with an idempotency key: the same content again gets the same answer, without another effect."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from portal.errors import Conflict
from portal.referrals.invitation_models import AnsweredRequest

LONGEST_KEY = 128


def find_answer(session: Session, client_id: int, key: str, request_hash: str) -> dict[str, Any] | None:
    """Return the answer that was given to a client's key, or None; raises Conflict for other content."""
    row = session.get(AnsweredRequest, (client_id, key), populate_existing=True)
    if row is None:
        return None
    if row.request_hash != request_hash:
        raise Conflict("This idempotency key was used for another request.", code="idempotency-key-reused")
    return row.answer


def keep_answer(
    session: Session, client_id: int, key: str, request_hash: str, answer: dict[str, Any], now: datetime
) -> None:
    """Keep an answer, in the transaction of what it tells.

    Of two requests at once the later is an IntegrityError, to be run again: it then finds the answer.
    """
    row = AnsweredRequest(client_id=client_id, key=key, request_hash=request_hash, answer=answer, at=now)
    session.add(row)
    session.flush()
