"""Write a sample order as a UBL 2.1 Order document, its elements in the order of the schema.

Source: OASIS UBL 2.1, UBL-Order-2.1.xsd.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from lxml import etree

ORDER = "urn:oasis:names:specification:ubl:schema:xsd:Order-2"
CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"

Element = etree._Element  # noqa: SLF001 — lxml has no public name for it


def as_ubl(order: dict[str, Any]) -> bytes:
    """Write an order in canonical form as UBL; what the order lacks is left out."""
    day, _, time = order["placed_at"].partition("T")
    # The stubs do not know that None names the default namespace.
    root = etree.Element(f"{{{ORDER}}}Order", nsmap={None: ORDER, "cac": CAC, "cbc": CBC})  # type: ignore[dict-item]
    root.extend(
        [
            _cbc("UBLVersionID", "2.1"),
            _cbc("ID", order["number"]),
            _cbc("IssueDate", day),
            _cbc("IssueTime", time),
            *_text("Note", order["note"]),
            _cbc("DocumentCurrencyCode", order["currency"]),
            _cac(
                "AdditionalDocumentReference",
                _cbc("ID", order["channel"]),
                _cbc("DocumentType", "SalesChannel"),
            ),
            _buyer(order),
            _cac(
                "SellerSupplierParty", _cac("Party", _cac("PartyIdentification", _cbc("ID", order["store"])))
            ),
            _delivery(order["delivery"]),
            *_payment_means(order["gift_cards"]),
            *_payment_terms(order["gift_cards"], order["currency"]),
            *_allowances_and_charges(order["totals"], order["currency"]),
            _cac("TaxTotal", _amount("TaxAmount", order["totals"]["tax"], order["currency"])),
            _monetary_total(order["totals"], order["currency"]),
            *(_line(line, order["currency"]) for line in order["lines"]),
        ]
    )
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _buyer(order: dict[str, Any]) -> Element:
    customer = order["customer"]
    party = _cac("Party", _cac("PartyName", _cbc("Name", customer["name"])))
    party.append(_cac("PostalAddress", _country(order["country"])))
    if customer["tax_id"]:
        scheme = _cac("TaxScheme", _cbc("ID", "VAT"))
        party.append(_cac("PartyTaxScheme", _cbc("CompanyID", customer["tax_id"]), scheme))
    party.append(
        _cac("Contact", *_text("Telephone", customer["phone"]), *_text("ElectronicMail", customer["email"]))
    )
    contact = _cac("DeliveryContact", _cbc("Name", order["delivery"]["contact_name"]))
    return _cac("BuyerCustomerParty", party, contact)


def _delivery(delivery: dict[str, Any]) -> Element:
    element = _cac("Delivery")
    address = delivery["address"]
    if address:
        where = _cac(
            "Address",
            _cbc("StreetName", address["street"]),
            _cbc("BuildingNumber", address["number"]),
            _cbc("CityName", address["city"]),
            _cbc("PostalZone", address["postal_code"]),
            _cbc("CountrySubentity", address["region"]),
            _country(address["country"]),
        )
        element.append(_cac("DeliveryLocation", where))
    element.append(
        _cac(
            "RequestedDeliveryPeriod",
            _cbc("StartDate", delivery["requested_from"]),
            _cbc("EndDate", delivery["requested_until"]),
        )
    )
    return element


def _payment_means(cards: list[dict[str, str]]) -> list[Element]:
    return [
        _cac(
            "PaymentMeans",
            _cbc("ID", f"gift-card-{position}"),
            # UN/ECE 4461 has no code for gift cards: 1 is "instrument not defined".
            _cbc("PaymentMeansCode", "1", name="gift-card"),
            _cbc("PaymentID", card["number"]),
        )
        for position, card in enumerate(cards, start=1)
    ]


def _payment_terms(cards: list[dict[str, str]], currency: str) -> list[Element]:
    return [
        _cac(
            "PaymentTerms",
            _cbc("PaymentMeansID", f"gift-card-{position}"),
            _amount("Amount", card["amount"], currency),
        )
        for position, card in enumerate(cards, start=1)
    ]


def _allowances_and_charges(totals: dict[str, str], currency: str) -> list[Element]:
    return [
        _cac(
            "AllowanceCharge",
            _cbc("ChargeIndicator", indicator),
            _cbc("AllowanceChargeReason", reason),
            _amount("Amount", totals[name], currency),
        )
        for name, indicator, reason in (("charges", "true", "Delivery"), ("allowances", "false", "Discount"))
        if Decimal(totals[name])
    ]


def _monetary_total(totals: dict[str, str], currency: str) -> Element:
    return _cac(
        "AnticipatedMonetaryTotal",
        _amount("LineExtensionAmount", totals["lines"], currency),
        _amount("AllowanceTotalAmount", totals["allowances"], currency),
        _amount("ChargeTotalAmount", totals["charges"], currency),
        _amount("PayableAmount", totals["payable"], currency),
    )


def _line(line: dict[str, Any], currency: str) -> Element:
    return _cac(
        "OrderLine",
        _cac(
            "LineItem",
            _cbc("ID", line["id"]),
            _cbc("Quantity", line["quantity"], unitCode=line["unit"]),
            _amount("LineExtensionAmount", line["amount"], currency),
            _amount("TotalTaxAmount", line["tax"], currency),
            _cac("Price", _amount("PriceAmount", line["unit_price"], currency)),
            _cac(
                "Item",
                *_text("Description", line["description"]),
                _cbc("Name", line["name"]),
                _cac("SellersItemIdentification", _cbc("ID", line["sku"])),
            ),
        ),
    )


def _country(code: str) -> Element:
    return _cac("Country", _cbc("IdentificationCode", code))


def _amount(name: str, value: str, currency: str) -> Element:
    return _cbc(name, value, currencyID=currency)


def _text(name: str, value: str | None) -> list[Element]:
    return [_cbc(name, value)] if value else []


def _cac(name: str, /, *children: Element) -> Element:
    element = etree.Element(f"{{{CAC}}}{name}")
    element.extend(children)
    return element


def _cbc(name: str, value: str, /, **attributes: str) -> Element:
    element = etree.Element(f"{{{CBC}}}{name}", attributes)
    element.text = value
    return element
