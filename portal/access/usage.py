"""How often the clients of the API ask, counted over all processes, minute by minute."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from portal.access.models import ApiUsage
from portal.access.queries import KnownClient, find_client
from portal.errors import TooManyRequests

_KEPT = timedelta(hours=1)


def admit_client(session: Session, key_hash: str, *, most: int, now: datetime) -> KnownClient | None:
    """Return the client that has this key, counting its request; None when nobody has it.

    Raises TooManyRequests with the rest of the minute when the client has used up its `most` requests.
    """
    client = find_client(session, key_hash)
    if client is None:
        return None
    minute = now.replace(second=0, microsecond=0)
    if _count(session, client.id, minute) > most:
        raise TooManyRequests(
            f"This client may send {most} requests a minute.",
            retry_after=60 - now.second,
            code="rate-limited",
        )
    return client


def _count(session: Session, client_id: int, minute: datetime) -> int:
    """Count one request and return how many there are in the minute."""
    values = {"client_id": client_id, "minute": minute, "requests": 1}
    more = {"requests": ApiUsage.requests + 1}
    if session.get_bind().dialect.name == "sqlite":
        upsert = sqlite.insert(ApiUsage).values(values)
        session.execute(upsert.on_conflict_do_update(index_elements=["client_id", "minute"], set_=more))
    else:
        session.execute(mysql.insert(ApiUsage).values(values).on_duplicate_key_update(more))
    requests = session.scalar(
        select(ApiUsage.requests).where(ApiUsage.client_id == client_id, ApiUsage.minute == minute)
    )
    if requests == 1:
        session.execute(
            delete(ApiUsage).where(ApiUsage.client_id == client_id, ApiUsage.minute < minute - _KEPT)
        )
    return requests or 1
