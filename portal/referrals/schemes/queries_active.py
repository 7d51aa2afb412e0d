"""Which scheme is active: of a product, or the only one that there is."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.errors import InvalidInput
from portal.referrals.schemes.models import ActiveScheme


def active_scheme_of(
    session: Session, *, product: str | None = None, scheme_id: int | None = None
) -> ActiveScheme | None:
    """Return the active scheme of a product, or the one of this id while it is active, or None.

    With neither it is the only active one; raises InvalidInput when there are several.
    """
    wanted = select(ActiveScheme).order_by(ActiveScheme.product)
    if product is not None:
        wanted = wanted.where(ActiveScheme.product == product)
    if scheme_id is not None:
        wanted = wanted.where(ActiveScheme.scheme_id == scheme_id)
    found = session.scalars(wanted).all()
    if len(found) > 1:
        products = ", ".join(row.product for row in found)
        raise InvalidInput(f"Say for which product; schemes are active for {products}.", field="product")
    return found[0] if found else None
