"""The ways in which a format file says where a value stands."""

from __future__ import annotations

import pytest
from lxml import etree

from portal.orders.documents.sources import Refused, source

NAMESPACES = {"n": "urn:n"}


def read(spec: object, content: str) -> str | None:
    return source(spec, NAMESPACES).read(etree.fromstring(f"<a xmlns:m='urn:n'>{content}</a>"))


def test_prefixes_do_not_matter_but_namespaces_do() -> None:
    assert read("n:b", "<m:b>x</m:b>") == "x"
    assert read("n:b", "<b>x</b>") is None
    assert read("n:b", "<b xmlns='urn:n'>x</b>") == "x"


def test_blanks_around_a_value_go_and_a_wrapped_value_becomes_one_line() -> None:
    assert read("b", "<b>\n  Falu\n     Rödfärg\n</b>") == "Falu Rödfärg"
    assert read("b", "<b>two  blanks</b>") == "two  blanks"
    assert read("b", "<b>  \n </b>") is None


def test_character_data_is_text() -> None:
    assert read("b", "<b>a<![CDATA[ & b]]></b>") == "a & b"


@pytest.mark.parametrize(
    "inside", ["10<!-- -->00", "10<?x?>00", "10<c/>00", "<c>10</c>", "<!-- -->10", "10<!-- -->"]
)
@pytest.mark.parametrize(
    "spec",
    [
        "b",
        ["b"],
        {"sum": "b"},
        {"join": "b", "with": " "},
        {"date": "b"},
        {"date": "c", "time": "b", "zone": ""},
    ],
)
def test_a_value_has_text_only(spec: object, inside: str) -> None:
    with pytest.raises(Refused, match="must be text only"):
        read(spec, f"<b>{inside}</b>")


def test_an_entity_inside_a_value_is_not_text() -> None:
    parser = etree.XMLParser(resolve_entities=False)
    root = etree.fromstring('<!DOCTYPE a [<!ENTITY x "9">]><a><b>10&x;</b></a>', parser)
    with pytest.raises(Refused, match="must be text only"):
        source("b", {}).read(root)


def test_a_value_that_stands_twice_is_read_only_if_both_say_the_same() -> None:
    assert read("b", "<b>1</b><b> 1 </b>") == "1"
    with pytest.raises(Refused, match="stands 2 times"):
        read("b", "<b>1</b><b>2</b>")


def test_the_first_alternative_with_a_value_wins() -> None:
    alternatives = ["b", {"join": ["c", "d"], "with": " "}]
    assert read(alternatives, "<b>1</b><c>2</c>") == "1"
    assert read(alternatives, "<b> </b><d>3</d><c>2</c>") == "2 3"
    assert read(alternatives, "") is None


def test_capital_letters_are_made_where_the_format_says_so() -> None:
    assert read({"first": ["b", "c"], "case": "upper"}, "<c>se</c>") == "SE"


def test_attributes_are_values_too() -> None:
    assert read("b/@c", "<b c=' x '/>") == "x"


def test_amounts_are_added_up() -> None:
    assert read({"sum": "b"}, "<b>1.10</b><b>2.2</b>") == "3.30"
    assert read({"sum": "b"}, "<b>1</b>") == "1"
    assert read({"sum": "b"}, "") is None
    with pytest.raises(Refused, match="cannot be added up: “x” is not an amount"):
        read({"sum": "b"}, "<b>1</b><b>x</b>")


@pytest.mark.parametrize(
    ("day", "time", "moment"),
    [
        ("2010-01-20", "12:30:00", "2010-01-20T12:30:00Z"),
        ("2010-01-20", "12:30:00.5+02:00", "2010-01-20T12:30:00.5+02:00"),
        ("2010-01-20+01:00", "12:30:00", "2010-01-20T12:30:00+01:00"),
        ("2010-01-20+01:00", "12:30:00Z", "2010-01-20T12:30:00Z"),
        ("2010-01-20", "", "2010-01-20T00:00:00Z"),
        ("20 January", "12:30:00", "20 January"),
        ("", "12:30:00", None),
    ],
)
def test_a_time_is_joined_from_day_time_and_zone(day: str, time: str, moment: str | None) -> None:
    spec = {"date": "b", "time": "c", "zone": "Z"}
    assert read(spec, f"<b>{day}</b><c>{time}</c>") == moment


def test_the_zone_of_a_day_is_dropped() -> None:
    assert read({"date": "b"}, "<b>2010-01-20+01:00</b>") == "2010-01-20"
    assert read({"date": "b"}, "<b>tomorrow</b>") == "tomorrow"


@pytest.mark.parametrize(
    "spec", [None, 1, {"join": "b"}, {"sum": "b", "with": ","}, {"first": "b"}, {"date": ["b"]}]
)
def test_a_source_of_no_known_form_is_refused_at_load(spec: object) -> None:
    with pytest.raises(ValueError, match="does not say where a value stands"):
        source(spec, NAMESPACES)


def test_a_path_that_is_none_is_refused_at_load() -> None:
    with pytest.raises(etree.XPathSyntaxError):
        source("b[", NAMESPACES)
