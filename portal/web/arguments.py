"""Values of addresses and forms that several pages read."""

from collections.abc import Mapping

from portal.errors import InvalidInput

_LONGEST_ID = 18


def read_id(arguments: Mapping[str, str], name: str) -> int | None:
    """Read an id, no greater than a database can hold; None when it is not given.

    Raises InvalidInput for what is none.
    """
    written = arguments.get(name, "").strip()
    if not written:
        return None
    if not (written.isascii() and written.isdigit() and len(written) <= _LONGEST_ID):
        raise InvalidInput(f"“{name}” in this address leads nowhere: it must be an id in digits.", field=name)
    return int(written)
