"""The addresses of a database, as tests are handed them."""

from typing import NamedTuple


class Urls(NamedTuple):
    """Where to write and where to read; on SQLite the same file."""

    writer: str
    reader: str
