"""UBL documents keep the order of elements that the schema asks for."""

from __future__ import annotations

from lxml import etree

from sandbox.samples import sample_order
from sandbox.ubl import CAC, CBC, as_ubl

# The sequences of UBL-Order-2.1.xsd and UBL-CommonAggregateComponents-2.1.xsd, as far as they are used.
SEQUENCES = {
    "Order": "UBLVersionID ID IssueDate IssueTime Note DocumentCurrencyCode AdditionalDocumentReference"
    " BuyerCustomerParty SellerSupplierParty Delivery PaymentMeans PaymentTerms AllowanceCharge TaxTotal"
    " AnticipatedMonetaryTotal OrderLine",
    "AdditionalDocumentReference": "ID DocumentType",
    "BuyerCustomerParty": "Party DeliveryContact",
    "Party": "PartyIdentification PartyName PostalAddress PartyTaxScheme Contact",
    "PartyTaxScheme": "CompanyID TaxScheme",
    "Contact": "Telephone ElectronicMail",
    "Delivery": "DeliveryLocation RequestedDeliveryPeriod",
    "Address": "StreetName BuildingNumber CityName PostalZone CountrySubentity Country",
    "RequestedDeliveryPeriod": "StartDate EndDate",
    "PaymentMeans": "ID PaymentMeansCode PaymentID",
    "PaymentTerms": "PaymentMeansID Amount",
    "AllowanceCharge": "ChargeIndicator AllowanceChargeReason Amount",
    "AnticipatedMonetaryTotal": "LineExtensionAmount AllowanceTotalAmount ChargeTotalAmount PayableAmount",
    "LineItem": "ID Quantity LineExtensionAmount TotalTaxAmount Price Item",
    "Item": "Description Name SellersItemIdentification",
}


def test_elements_stand_in_the_order_of_the_schema() -> None:
    seen: dict[str, set[str]] = {}
    for seed in range(60):
        for element in etree.fromstring(as_ubl(sample_order(f"N-{seed}", seed))).iter():
            name = etree.QName(element).localname
            children = [etree.QName(child).localname for child in element]
            if name in SEQUENCES or len(set(children)) > 1:
                sequence = SEQUENCES[name].split()
                assert children == sorted(children, key=sequence.index), name
                seen.setdefault(name, set()).update(children)
    assert seen == {name: set(sequence.split()) for name, sequence in SEQUENCES.items()}


def test_a_gift_card_is_tied_to_its_amount_by_the_id_of_its_payment() -> None:
    order = next(each for each in (sample_order("N", seed) for seed in range(100)) if each["gift_cards"])
    root = etree.fromstring(as_ubl(order))
    names = {"cac": CAC, "cbc": CBC}
    card = order["gift_cards"][0]
    means = "cac:PaymentMeans[cbc:PaymentMeansCode/@name='gift-card']"
    terms = f"cac:PaymentTerms[cbc:PaymentMeansID = ../{means}/cbc:ID]"
    assert root.xpath(f"string({means}/cbc:PaymentID)", namespaces=names) == card["number"]
    assert root.xpath(f"string({terms}/cbc:Amount)", namespaces=names) == card["amount"]
