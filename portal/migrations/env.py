"""Run the migrations on the connection that `portal.db.migrate` hands over."""

from alembic import context
from sqlalchemy import text

from portal import models  # noqa: F401 - registers every table
from portal.db import Base

connection = context.config.attributes["connection"]
on_mysql = connection.dialect.name in ("mysql", "mariadb")

if on_mysql:
    # DDL commits by itself there, so a transaction does not keep two processes apart.
    connection.execute(text("SELECT GET_LOCK('waybill-migrations', 300)"))
try:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=not on_mysql)
    with context.begin_transaction():
        context.run_migrations()
finally:
    if on_mysql:
        connection.execute(text("SELECT RELEASE_LOCK('waybill-migrations')"))
