"""What a request or a job is handed: databases, clock, ids, queues, files, mail, systems, metrics."""

import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from portal.clients.aws import Files, Queues
from portal.clients.http import HttpSystem
from portal.clients.mail import Mail
from portal.crypto import DataCipher
from portal.db import Database
from portal.mail_texts import MailTexts
from portal.metrics.service import Metrics
from portal.orders.documents import Formats, load_formats
from portal.orders.mails import OrderMails
from portal.orders.process.definitions import Definitions, load_definitions
from portal.settings import Settings

T = TypeVar("T")
_TRIES = 5


@dataclass
class Runtime:
    """The values and clients that the edges hand to the code within."""

    settings: Settings
    database: Database
    cipher: DataCipher
    queues: Queues
    files: Files
    mail: Mail
    systems: dict[str, HttpSystem]
    metrics: Metrics
    formats: Formats
    definitions: Definitions
    mail_texts: MailTexts
    order_mails: OrderMails
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    _passed_points: Counter[str] = field(default_factory=Counter)

    @property
    def system_titles(self) -> dict[str, str]:
        """Return how each outside system is called on pages, by name."""
        titles = {name: system.title for name, system in self.systems.items()}
        return titles | {"mail": "The mail provider"}

    @contextmanager
    def writer(self) -> Iterator[Session]:
        """Give a session in a transaction on the writer, committed at the end."""
        with self.database.writer() as session:
            yield session

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """Give a session on the reader."""
        with self.database.reader() as session:
            yield session

    @contextmanager
    def newest(self) -> Iterator[Session]:
        """Give a session for reading that lags behind nothing."""
        # One database behind both: its reader is never behind, and takes no lock of the writer's.
        with self.writer() if self.database.has_reader else self.reader() as session:
            yield session

    def transact(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a writer transaction, from the start again when it lost a race or its connection.

        A duplicate key, a deadlock or a lost connection says that the world has changed: what `work`
        decides must follow from what it reads in the transaction, so that a second run is right even
        when the first one's commit went through and only its answer was lost.
        """
        tries = 1
        while True:
            try:
                with self.database.writer() as session:
                    return work(session)
            except DBAPIError as error:
                if tries == _TRIES or not _may_pass_next_time(error):
                    raise
                tries += 1
                self.metrics.count("database.transaction_retried")

    def reached(self, point: str) -> None:
        """Pass a named point; die there as if by power failure when the setting KILL_AT says so.

        KILL_AT is the name of a point, or `NAME:N` for the Nth time that it is passed.
        """
        if not self.settings.kill_at:
            return
        wanted, _, times = self.settings.kill_at.partition(":")
        self._passed_points[point] += 1
        if point == wanted and self._passed_points[point] == int(times or 1):
            os.kill(os.getpid(), signal.SIGKILL)


def _may_pass_next_time(error: DBAPIError) -> bool:
    return error.connection_invalidated or isinstance(error, (IntegrityError, OperationalError))


def build_runtime(settings: Settings) -> Runtime:
    """Wire a runtime; nothing is connected before it is first used."""
    titles = {
        "gift-card": ("The gift card system", settings.gift_card_url),
        "eom": ("Enterprise order management", settings.eom_url),
        "tax-documents": ("The tax document system", settings.tax_documents_url),
        "pos": ("The point of sale", settings.pos_url),
        "rewards": ("The reward system", settings.rewards_url),
        "spend": ("The spend service", settings.spend_url),
    }
    texts = MailTexts()
    return Runtime(
        settings=settings,
        database=Database(settings.database_writer_url, settings.reader_url, settings.database_pool_size),
        cipher=DataCipher(settings.data_key),
        queues=Queues(settings),
        files=Files(settings),
        mail=Mail(settings),
        systems={
            name: HttpSystem(
                name,
                title,
                url,
                deadline=settings.call_deadline_seconds,
                max_calls=settings.calls_in_flight,
            )
            for name, (title, url) in titles.items()
        },
        metrics=Metrics.from_settings(settings),
        formats=load_formats(),
        definitions=load_definitions(),
        mail_texts=texts,
        order_mails=OrderMails(texts),
    )
