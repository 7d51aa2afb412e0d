"""Requests with an idempotency key: the same content again gets the same answer, without another effect."""

from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.errors import Conflict
from portal.referrals.invitations.models import AnsweredRequest

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


def forget_answers(session: Session, before: datetime, limit: int) -> int:
    """Delete up to `limit` of the answers that were given before a time; return how many there were."""
    old = select(AnsweredRequest.client_id, AnsweredRequest.key).where(AnsweredRequest.at < before)
    oldest_first = old.order_by(AnsweredRequest.at).limit(limit).with_for_update(skip_locked=True)
    found = sorted(tuple(row) for row in session.execute(oldest_first))
    for client_id, those in groupby(found, key=lambda row: row[0]):
        # Client by client: a list of pairs would make MariaDB read the whole table.
        session.execute(
            delete(AnsweredRequest).where(
                AnsweredRequest.client_id == client_id, AnsweredRequest.key.in_([key for _, key in those])
            ),
            execution_options={"synchronize_session": False},
        )
    return len(found)
