"""The UBL 2.1 Order: every field from where the standard puts it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from portal.errors import InvalidInput
from portal.orders.canonical import Order, canonical_json
from portal.orders.documents import load_formats, read_document
from sandbox.samples import sample_order
from sandbox.ubl import as_ubl
from tests.orders.documents.ubl import NUMBER, ubl_line, ubl_order

FORMATS = load_formats()
EXAMPLES = Path(__file__).parents[4] / "shared" / "data" / "orders"
EXPECTED = Path(__file__).parent / "data" / "ubl-order-2.1-example.json"


def read(**parts: str) -> Order:
    return read_document(ubl_order(**parts).encode(), FORMATS).order


def party(content: str) -> str:
    return f"<c:BuyerCustomerParty><c:Party>{content}</c:Party></c:BuyerCustomerParty>"


def test_the_example_of_the_standard_is_read_in_full() -> None:
    example = EXAMPLES / "UBL-Order-2.1-Example.xml"
    if not example.exists():
        pytest.skip("UBL-Order-2.1-Example.xml is not beside this checkout")
    document = read_document(example.read_bytes(), FORMATS)
    assert json.loads(canonical_json(document.order)) == json.loads(EXPECTED.read_text("utf-8"))


@pytest.mark.parametrize("name", ["UBL-OrderCancellation-2.1-Example.xml", "cXML-OrderRequest.xml"])
def test_other_documents_of_the_trade_are_an_unknown_format(name: str) -> None:
    if not (EXAMPLES / name).exists():
        pytest.skip(f"{name} is not beside this checkout")
    with pytest.raises(InvalidInput) as refused:
        read_document((EXAMPLES / name).read_bytes(), FORMATS)
    assert refused.value.code == "document-unknown-format"
    assert ("OrderCancellation" if "Cancellation" in name else "cXML") in refused.value.reason


def test_a_sample_order_is_the_same_as_ubl_and_as_json() -> None:
    for seed in range(60):
        order = sample_order(f"N-{seed}", seed)
        as_json = read_document(json.dumps(order).encode(), FORMATS)
        assert read_document(as_ubl(order), FORMATS).content_hash == as_json.content_hash, seed


def test_a_number_and_a_line_are_enough() -> None:
    order = read(lines="<c:OrderLine><c:LineItem/></c:OrderLine>")
    assert canonical_json(order) == b'{"lines":[{"id":"1"}],"number":"N-1"}'


@pytest.mark.parametrize(("parts", "field"), [({"number": ""}, "number"), ({"lines": ""}, "lines")])
def test_without_number_or_lines_it_is_no_order(parts: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(**parts)
    assert (refused.value.code, refused.value.field) == ("order-invalid", field)


def test_a_comment_inside_an_amount_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be text only") as refused:
        read(lines=ubl_line(amount="10<!-- -->00"))
    assert refused.value.field == "lines[0].amount"
    assert "cac:OrderLine/cac:LineItem: cbc:LineExtensionAmount" in refused.value.reason


def test_comments_between_elements_do_no_harm() -> None:
    assert read(more="<!-- note --><?note?>", lines="<!-- first -->" + ubl_line()).number == "N-1"


@pytest.mark.parametrize("amount", ["NaN", "INF", "1e2", "１０", "1_000", "-1", "0.001"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(InvalidInput, match="is not an amount") as refused:
        read(lines=ubl_line() + ubl_line("2", amount))
    assert refused.value.field == "lines[1].amount"


def test_lines_with_the_same_id_are_both_kept() -> None:
    order = read(lines=ubl_line("7", "1") + ubl_line("7", "2"))
    assert [(line.id, str(line.amount)) for line in order.lines] == [("7", "1.00"), ("7", "2.00")]


def gift_card(identity: str, number: str, name: str = "gift-card") -> str:
    return (
        f"<c:PaymentMeans><b:ID>{identity}</b:ID><b:PaymentMeansCode name='{name}'>1</b:PaymentMeansCode>"
        f"<b:PaymentID>{number}</b:PaymentID></c:PaymentMeans>"
    )


def terms(identity: str, amount: str) -> str:
    return (
        f"<c:PaymentTerms><b:PaymentMeansID>{identity}</b:PaymentMeansID>"
        f"<b:Amount currencyID='SEK'>{amount}</b:Amount></c:PaymentTerms>"
    )


def test_each_gift_card_gets_the_amount_of_its_own_payment_terms() -> None:
    order = read(
        more=gift_card("g1", "6033-1")
        + gift_card("bank", "OCR 1", name="transfer")
        + gift_card("g2", "6033-2")
        + terms("g2", "2")
        + terms("bank", "3")
        + terms("g1", "1")
    )
    assert [(card.number, card.amount) for card in order.gift_cards] == [
        ("6033-1", Decimal("1.00")),
        ("6033-2", Decimal("2.00")),
    ]


def test_a_gift_card_without_its_amount_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        read(more=gift_card("g1", "6033-1") + terms("g2", "1"))
    assert refused.value.field == "gift_cards[0].amount"
    assert "6033" not in refused.value.reason


def test_channel_and_store_are_read() -> None:
    order = read(
        more="<c:AdditionalDocumentReference><b:ID>kiosk</b:ID><b:DocumentType>SalesChannel</b:DocumentType>"
        "</c:AdditionalDocumentReference><c:SellerSupplierParty><c:Party><c:PartyIdentification><b:ID>S-1</b:ID>"
        "</c:PartyIdentification></c:Party></c:SellerSupplierParty>"
    )
    assert (order.channel, order.store) == ("kiosk", "S-1")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            "<c:PartyName><b:Name>A</b:Name></c:PartyName><c:Person><b:FirstName>B</b:FirstName></c:Person>",
            "A",
        ),
        ("<c:PartyLegalEntity><b:RegistrationName>B</b:RegistrationName></c:PartyLegalEntity>", "B"),
        ("<c:Person><b:FirstName>C</b:FirstName><b:FamilyName>D</b:FamilyName></c:Person>", "C D"),
        ("", None),
    ],
)
def test_a_customer_is_named_by_party_by_register_or_as_a_person(content: str, name: str | None) -> None:
    assert read(more=party(content)).customer.name == name


def test_the_mail_address_is_that_of_the_party_else_that_of_the_delivery_contact() -> None:
    def email(own: str) -> str | None:
        contact = "<c:DeliveryContact><b:ElectronicMail>eva@x.se</b:ElectronicMail></c:DeliveryContact>"
        own_contact = f"<c:Contact><b:ElectronicMail>{own}</b:ElectronicMail></c:Contact>"
        return read(more=party(own_contact).replace("</c:Buyer", contact + "</c:Buyer")).customer.email

    assert email("josé@x.se") == "josé@x.se"
    assert email("") == "eva@x.se"


COUNTRY = "<c:Country><b:IdentificationCode>{}</b:IdentificationCode></c:Country>"
HOME = f"<c:PostalAddress><b:CityName>Lund</b:CityName>{COUNTRY.format('se')}</c:PostalAddress>"
ABROAD = (
    "<c:Delivery><c:DeliveryLocation><c:Address><b:StreetName>Gata</b:StreetName>"
    f"{COUNTRY.format('NO')}</c:Address></c:DeliveryLocation></c:Delivery>"
)


def test_goods_go_to_the_delivery_address_else_to_the_buyer_and_never_to_a_mix() -> None:
    there, home = read(more=party(HOME) + ABROAD), read(more=party(HOME))
    assert there.delivery.address
    assert home.delivery.address
    assert (there.country, there.delivery.address.street, there.delivery.address.city) == ("NO", "Gata", None)
    assert (home.country, home.delivery.address.street, home.delivery.address.city) == ("SE", None, "Lund")


def test_a_country_alone_is_no_address() -> None:
    order = read(more=party(HOME.replace("<b:CityName>Lund</b:CityName>", "")))
    assert (order.country, order.delivery.address) == ("SE", None)


def test_the_currency_is_that_of_the_amounts_when_the_document_names_none() -> None:
    assert read().currency == "SEK"
    assert read(lines="<c:OrderLine><c:LineItem/></c:OrderLine>").currency is None


def test_an_amount_in_another_currency_is_refused() -> None:
    with pytest.raises(InvalidInput, match="currency is EUR, but the document also has values in “SEK”"):
        read(more="<b:DocumentCurrencyCode>EUR</b:DocumentCurrencyCode>")


def test_taxes_are_added_up_and_notes_joined() -> None:
    tax = "<c:TaxTotal><b:TaxAmount currencyID='SEK'>{}</b:TaxAmount></c:TaxTotal>"
    order = read(more=f"<b:Note>a</b:Note><b:Note>b</b:Note>{tax.format('1.10')}{tax.format(2)}")
    assert (str(order.totals.tax), order.note) == ("3.10", "a\nb")


def test_what_is_payable_is_the_sum_of_the_lines_if_the_document_does_not_say() -> None:
    assert str(read(lines=ubl_line() + ubl_line("2", "0.50")).totals.payable) == "10.50"


def test_a_price_for_more_than_one_piece_is_no_unit_price() -> None:
    price = (
        "<c:Price><b:PriceAmount currencyID='SEK'>5</b:PriceAmount>"
        "<b:BaseQuantity>{}</b:BaseQuantity></c:Price>"
    )
    assert str(read(lines=ubl_line(more=price.format(1))).lines[0].unit_price) == "5.00"
    assert read(lines=ubl_line(more=price.format(100))).lines[0].unit_price is None


def test_an_item_is_known_by_its_sellers_number_else_by_the_standard_one() -> None:
    item = "<c:Item>{}<c:StandardItemIdentification><b:ID>GTIN</b:ID></c:StandardItemIdentification></c:Item>"
    sellers = "<c:SellersItemIdentification><b:ID>S-1</b:ID></c:SellersItemIdentification>"
    assert read(lines=ubl_line(more=item.format(sellers))).lines[0].sku == "S-1"
    assert read(lines=ubl_line(more=item.format(""))).lines[0].sku == "GTIN"


def test_a_number_that_stands_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="stands 2 times") as refused:
        read(number=NUMBER + NUMBER.replace("N-1", "N-2"))
    assert refused.value.field == "number"


def test_an_honest_iso_8859_1_document_is_read() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + ubl_order(more="<b:Note>Rödfärg</b:Note>")
    assert read_document(text.encode("iso-8859-1"), FORMATS).order.note == "Rödfärg"
