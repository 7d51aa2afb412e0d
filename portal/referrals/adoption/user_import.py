"""Users who signed up before anybody was listening, taken in from lines of JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import IO, Any

from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from portal import events
from portal.crypto import DataCipher
from portal.errors import InvalidInput
from portal.events import Actor, NewEvent
from portal.referrals.addresses import address_index, folded_index
from portal.referrals.progress.messages import EarlierUser, read_message
from portal.referrals.progress.models import KnownUser, ReferralProgress, UserFact

BATCH = 1_000
_LONGEST_LINE = 10_000
_MOST_COMPLAINTS = 20


def read_batches(source: IO[bytes], size: int = BATCH) -> Iterator[list[EarlierUser]]:
    """Give the users of a file of JSON lines, some at a time.

    Raises InvalidInput for a batch with a line that is refused, naming line and field of each.
    """
    lines = enumerate(iter(lambda: source.readline(_LONGEST_LINE + 1), b""), start=1)
    while batch := list(islice(lines, size)):
        users, complaints = [], []
        for number, line in batch:
            try:
                users += [read_message(EarlierUser, _content(line))] if line.strip() else []
            except InvalidInput as refused:
                told = [f"{one.field}: {one.reason}" for one in refused.errors] or [refused.reason]
                complaints.append(f"line {number}: {'; '.join(told)}")
            if len(line) > _LONGEST_LINE or len(complaints) == _MOST_COMPLAINTS:
                break
        if complaints:
            raise InvalidInput(
                "\n".join([f"Nothing was taken in from line {batch[0][0]} on:", *complaints]),
                code="line-invalid",
            )
        yield users


def add_users(
    session: Session, users: Sequence[EarlierUser], *, cipher: DataCipher, actor: Actor, now: datetime
) -> int:
    """Keep users by their keyed hashes, and return how many were news.

    Whose sign-up is known already stays as known, which the database decides: a message may tell of the same
    user at this moment. Who is told of without a time counts as signed up by `now`.
    """
    given = {user.user_id: user for user in reversed(users)}
    # In the order of their ids, as all who lock users do.
    rows: list[dict[str, Any]] = [
        {
            "user_id": user_id,
            "address_index": address_index(cipher, user.address),
            "folded_index": folded_index(cipher, user.address),
            "signed_up_at": min(user.signed_up_at or now, now),
        }
        for user_id, user in sorted(given.items())
    ]
    known = select(func.count()).where(KnownUser.user_id.in_(given), KnownUser.signed_up_at.is_not(None))
    news = len(rows) - (session.scalar(known) or 0)
    if rows:
        _insert(session, rows)
        _forget_facts(session, list(given))
        facts = {"users": len(rows), "news": news}
        events.record(session, NewEvent("users", rows[0]["user_id"], "users.imported", actor, now, facts))
    return news


def _forget_facts(session: Session, user_ids: Sequence[int]) -> None:
    """Delete what was kept of users until their sign-up is heard of, where it led to no referral."""
    is_referred = select(ReferralProgress.user_id).where(ReferralProgress.user_id == UserFact.user_id)
    session.execute(
        delete(UserFact).where(UserFact.user_id.in_(user_ids), ~is_referred.exists()),
        execution_options={"synchronize_session": False},
    )


def _insert(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    hashes = ("address_index", "folded_index")
    if session.get_bind().dialect.name == "sqlite":
        new = sqlite.insert(KnownUser)
        told = {name: new.excluded[name] for name in (*hashes, "signed_up_at")}
        is_news = KnownUser.signed_up_at.is_(None)
        session.execute(new.on_conflict_do_update(index_elements=["user_id"], set_=told, where=is_news), rows)
        return
    added = mysql.insert(KnownUser)
    stays = KnownUser.signed_up_at.is_not(None)
    # The time is the last: MySQL goes on with what it has assigned already.
    kept: list[tuple[str, Any]] = [
        (name, case((stays, KnownUser.__table__.c[name]), else_=added.inserted[name])) for name in hashes
    ]
    kept += [("signed_up_at", func.coalesce(KnownUser.signed_up_at, added.inserted["signed_up_at"]))]
    session.execute(added.on_duplicate_key_update(kept), rows)


def _content(line: bytes) -> object:
    if len(line) > _LONGEST_LINE:
        raise InvalidInput(f"It is longer than {_LONGEST_LINE} bytes.")
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        raise InvalidInput("It is not JSON in UTF-8.") from None
