"""What the page of waiting messages shows, and what became of those that were pushed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from portal.crypto import DataCipher
from portal.errors import NotFound
from portal.keyset import Page, Place, fetch_page
from portal.orders.models import WaitingMessage
from portal.orders.states import WaitingState
from portal.orders.verdicts import Verdict, verdict_of_message
from portal.orders.waiting import FORGOTTEN, WORK_KIND
from portal.work import Work

PAGE_SIZE = 50
WAITING_KEY = (int,)


@dataclass(frozen=True, slots=True)
class ListedMessage:
    """One waiting message, without its body; `subject` is an object's key or an order's number."""

    id: int
    message_id: str
    queue: str
    subject: str
    state: str
    receives: int
    code: str
    reason: str
    arrived_at: datetime
    pushes: int
    passed_at: datetime | None
    verdict: Verdict | None

    @property
    def is_waiting(self) -> bool:
        return self.state == WaitingState.WAITING


def list_waiting(
    session: Session,
    *,
    states: Sequence[WaitingState],
    place: Place | None = None,
    size: int = PAGE_SIZE,
) -> Page[ListedMessage]:
    """Return one page of the messages in these states, newest first."""
    statement = (
        select(WaitingMessage, Work)
        .outerjoin(Work, (Work.kind == WORK_KIND) & (Work.reference == WaitingMessage.id))
        .where(WaitingMessage.state.in_(states))
        .options(defer(WaitingMessage.body))
    )
    page = fetch_page(
        session,
        statement,
        (WaitingMessage.id,),
        lambda row: (row.WaitingMessage.id,),
        place=place,
        size=size,
    )
    return Page([_listed(row.WaitingMessage, row.Work) for row in page.rows], page.newer, page.older)


def read_waiting(session: Session, waiting_id: int) -> ListedMessage:
    """Return one message with the verdict on its last push. Raises NotFound."""
    row = session.execute(
        select(WaitingMessage, Work)
        .outerjoin(Work, (Work.kind == WORK_KIND) & (Work.reference == WaitingMessage.id))
        .where(WaitingMessage.id == waiting_id)
        .options(defer(WaitingMessage.body))
    ).first()
    if row is None:
        raise NotFound("There is no such waiting message.")
    return _listed(row.WaitingMessage, row.Work)


def read_body(session: Session, waiting_id: int, *, cipher: DataCipher) -> str | None:
    """Return the text of a message as it lay in its queue; None once it is forgotten. Raises NotFound."""
    body = session.scalar(select(WaitingMessage.body).where(WaitingMessage.id == waiting_id))
    if body is None:
        raise NotFound("There is no such waiting message.")
    return cipher.decrypt(body).decode() if body != FORGOTTEN else None


def _listed(row: WaitingMessage, work: Work | None) -> ListedMessage:
    return ListedMessage(
        id=row.id,
        message_id=row.message_id,
        queue=row.queue,
        subject=row.subject,
        state=row.state,
        receives=row.receives,
        code=row.code,
        reason=row.reason,
        arrived_at=row.arrived_at,
        pushes=row.pushes,
        passed_at=row.passed_at,
        verdict=verdict_of_message(row, work),
    )
