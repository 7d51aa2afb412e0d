"""Users as referrals know them: by keyed hashes only, one row each, which serialises what is recorded."""

import ipaddress
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from portal.crypto import DataCipher
from portal.referrals.progress.models import KnownUser

_IPV4_BLOCK, _IPV6_BLOCK = 24, 48


def lock_users(session: Session, user_ids: Iterable[int]) -> dict[int, KnownUser]:
    """Make the rows that are missing, lock all of them until the transaction ends, and return them.

    Whoever records something about users locks them first, all at once: in the order of their ids, so
    that two who lock several do not wait for each other in a circle.
    """
    ids = sorted(set(user_ids))
    for user_id in ids:
        _lock(session, user_id)
    rows = select(KnownUser).where(KnownUser.user_id.in_(ids)).execution_options(populate_existing=True)
    return {row.user_id: row for row in session.scalars(rows)}


def network_index(cipher: DataCipher, address: str) -> str:
    """Return the keyed hash of the block that an IP address is of: a /24 of IPv4, a /48 of IPv6."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    bits = _IPV4_BLOCK if ip.version == 4 else _IPV6_BLOCK
    block = ipaddress.ip_network((ip.packed, bits), strict=False)
    return cipher.blind_index(f"network {block}")


def device_index(cipher: DataCipher, device: str) -> str:
    """Return the keyed hash of a device's fingerprint."""
    return cipher.blind_index(f"device {device}")


def _lock(session: Session, user_id: int) -> None:
    values = {"user_id": user_id}
    if session.get_bind().dialect.name == "sqlite":
        # Its transactions follow one another anyway.
        session.execute(sqlite.insert(KnownUser).values(values).on_conflict_do_nothing())
        return
    # INSERT IGNORE would share the lock on a row that is there, and two who share it wait for each other.
    session.execute(mysql.insert(KnownUser).values(values).on_duplicate_key_update(user_id=KnownUser.user_id))
