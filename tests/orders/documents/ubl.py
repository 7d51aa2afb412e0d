"""Small UBL orders, written as text."""

from __future__ import annotations

ORDER = "urn:oasis:names:specification:ubl:schema:xsd:Order-2"
CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"

NUMBER = "<b:ID>N-1</b:ID>"


def ubl_line(identity: str = "1", amount: str = "10.00", more: str = "") -> str:
    """Write one order line."""
    return (
        f"<c:OrderLine><c:LineItem><b:ID>{identity}</b:ID><b:Quantity unitCode='C62'>1</b:Quantity>"
        f"<b:LineExtensionAmount currencyID='SEK'>{amount}</b:LineExtensionAmount>{more}"
        "</c:LineItem></c:OrderLine>"
    )


def ubl_order(*, number: str = NUMBER, more: str = "", lines: str | None = None) -> str:
    """Write an order with prefixes of its own; `more` stands between its number and its lines."""
    lines = ubl_line() if lines is None else lines
    return f"<Order xmlns='{ORDER}' xmlns:c='{CAC}' xmlns:b='{CBC}'>{number}{more}{lines}</Order>"
