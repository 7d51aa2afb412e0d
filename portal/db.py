"""The two engines, the base of all models, and how times and keys are stored."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    Engine,
    Executable,
    Integer,
    MetaData,
    Row,
    String,
    TypeDecorator,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import DateTime

# What MySQL answers on a connection whose server was demoted to a reader by a failover:
# ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE.
READ_ONLY_ERRORS = frozenset({1290, 1792, 1836})

# Aurora's default mode would cut a text that is too long, and store a wrong date as zeros.
_SESSION = "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL'"
# Above innodb_lock_wait_timeout (50 s): a writer that never answers must not hold a worker for ever.
_ANSWER_SECONDS = 60


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


BigId = BigInteger().with_variant(Integer, "sqlite")


def Key(length: int) -> String:
    """Return a text column that compares byte by byte: `josé` is not `jose`, `A` is not `a`."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql"
    )


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time, kept as DATETIME(6) without a zone; a naive time is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sqlite.DATETIME() if dialect.name == "sqlite" else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None


class UtcSeconds(UtcTime):
    """An aware UTC time to the second, kept as TIMESTAMP, as established tables have it.

    The connection's time zone is UTC, so what MySQL stores is what was meant.
    """

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.TIMESTAMP())
        return super().load_dialect_impl(dialect)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        stored = super().process_bind_param(value, dialect)
        return stored.replace(microsecond=0) if stored is not None else None


class Database:
    """The writer and the reader; they are one engine when no reader of its own is configured."""

    def __init__(self, writer_url: str, reader_url: str, pool_size: int = 20) -> None:
        self.writer_engine = _make_engine(writer_url, pool_size)
        self.has_reader = reader_url != writer_url
        # SQLite's readers need a second engine even on the same file: the writer's begins IMMEDIATE.
        alone = self.writer_engine.dialect.name != "sqlite" and not self.has_reader
        self.reader_engine = (
            self.writer_engine if alone else _make_engine(reader_url, pool_size, read_only=True)
        )
        self._question_engine = (
            _make_question_engine(reader_url, pool_size) if not reader_url.startswith("sqlite") else None
        )
        self._writer = sessionmaker(self.writer_engine, expire_on_commit=False)
        self._reader = sessionmaker(self.reader_engine, expire_on_commit=False)

    @contextmanager
    def writer(self) -> Iterator[Session]:
        """Give a session in a transaction of its own: committed at the end, rolled back on an error."""
        with self._writer.begin() as session:
            yield session

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """Give a session on the reader, which may lag behind the writer; nothing may be written by it."""
        with self._reader() as session:
            yield session

    def ask(self, question: Executable, values: Mapping[str, Any]) -> Sequence[Row[*tuple[Any, ...]]]:
        """Ask the reader one question, without a transaction around it: by one round trip.

        A connection that was lost meanwhile is replaced, and asked again.
        """
        if self._question_engine is None:
            with self.reader_engine.connect() as connection:
                return connection.execute(question, values).all()
        try:
            with self._question_engine.connect() as connection:
                return connection.execute(question, values).all()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        with self._question_engine.connect() as connection:
            return connection.execute(question, values).all()

    def dispose(self) -> None:
        for engine in (self.writer_engine, self.reader_engine, self._question_engine):
            if engine is not None:
                engine.dispose()


def _make_engine(
    url: str, pool_size: int, *, read_only: bool = False, answer_seconds: int | None = _ANSWER_SECONDS
) -> Engine:
    if url.startswith("sqlite"):
        return _make_sqlite_engine(url, read_only=read_only)
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_recycle=300,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=_connect_arguments(answer_seconds),
    )
    event.listen(engine, "handle_error", _throw_away_demoted_connection)
    return engine


def _make_question_engine(url: str, pool_size: int) -> Engine:
    """Make an engine whose connections begin no transaction, and are neither tried nor reset."""
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_recycle=300,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args=_connect_arguments(_ANSWER_SECONDS),
    )


def _connect_arguments(answer_seconds: int | None) -> dict[str, Any]:
    return {
        "charset": "utf8mb4",
        "connect_timeout": 5,
        "read_timeout": answer_seconds,
        "write_timeout": answer_seconds,
        "init_command": _SESSION,
    }


def _throw_away_demoted_connection(context: ExceptionContext) -> None:
    arguments = getattr(context.original_exception, "args", ())
    if arguments and arguments[0] in READ_ONLY_ERRORS:
        context.is_disconnect = True


def _make_sqlite_engine(url: str, *, read_only: bool) -> Engine:
    path = url.removeprefix("sqlite:///")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        # NORMAL: a commit survives the death of every process, though not always that of the machine.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A deferred transaction that turns into a writer fails at once when another has written since.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def database_now(session: Session) -> datetime:
    """Return the database's clock in UTC: leases are decided by it, never by a machine's own."""
    if session.get_bind().dialect.name == "sqlite":
        value = session.scalar(text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"))
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    now: datetime = session.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
    return now.replace(tzinfo=UTC)


@contextmanager
def patient_writer(url: str) -> Iterator[Session]:
    """Give a session in a transaction, as `Database.writer` does, that waits for an answer however long.

    To change a table may take longer than anybody else may wait, and goes on when its client has left.
    """
    engine = _make_engine(url, 1, answer_seconds=None)
    try:
        with Session(engine) as session, session.begin():
            yield session
    finally:
        engine.dispose()


def migrate(url: str) -> None:
    """Bring a database to the newest schema; two processes that start at once do it one after the other."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with patient_writer(url) as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")
