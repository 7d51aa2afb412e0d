"""XML from strangers is refused by name, quickly, and without taking memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from lxml import etree

from portal.errors import InvalidInput
from portal.orders.documents import load_formats, read_document
from portal.orders.documents.xml import MOST_ATTRIBUTES, parse_xml
from tests.orders.documents.bad_xml import BAD, Bad

LIMIT = 10_000_000
REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_document_is_refused_with_its_code_and_a_sentence(bad: Bad) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_document(bad.body, load_formats())
    assert refused.value.code == bad.code
    assert refused.value.reason.endswith(".")
    assert len(refused.value.reason) < 400


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_document_is_refused_in_under_50_ms(bad: Bad) -> None:
    formats = load_formats()
    spent = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(InvalidInput):
            read_document(bad.body, formats)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.05


def test_a_text_that_libxml2_finds_too_long_is_refused_though_the_limit_of_size_is_higher() -> None:
    with pytest.raises(InvalidInput, match="Text node too long") as refused:
        parse_xml(BAD["an 11 MB text"].body, max_bytes=20_000_000)
    assert refused.value.code == "document-unsafe"


MEASURE = """
from portal.errors import InvalidInput
from portal.orders.documents import load_formats, read_document
from tests.orders.documents.bad_xml import BAD

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

formats = load_formats()
for name, bad in BAD.items():
    before = peak()
    try:
        read_document(bad.body, formats)
    except InvalidInput:
        print(peak() - before, name)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_refusing_takes_no_more_memory_than_a_few_copies_of_the_document() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    grown = {
        name: int(kilobytes)
        for kilobytes, _, name in (line.partition(" ") for line in answer.stdout.splitlines())
    }
    assert grown.keys() == BAD.keys()
    greedy = {
        name: kilobytes
        for name, kilobytes in grown.items()
        if kilobytes > 5_000 + 3 * len(BAD[name].body) / 1_000
    }
    assert greedy == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("UTF-7", "declares the encoding UTF-7, which is not accepted"),
        ("UTF-32", "is in UTF-32, which is not accepted"),
        ("UTF-8 declared, UTF-16 in truth", "declares UTF-8, but its bytes are UTF-16-LE"),
        ("UTF-16 declared, UTF-8 in truth", "declares UTF-16, but its bytes are not"),
        ("ISO-8859-1 declared, UTF-8 in truth", "declares ISO-8859-1, but its bytes are UTF-8"),
        ("bad UTF-8", "Byte 3 of the document is not valid UTF-8"),
    ],
)
def test_what_is_wrong_with_an_encoding_is_told(name: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse_xml(BAD[name].body, max_bytes=LIMIT)


def test_an_external_dtd_is_never_fetched(tmp_path: Path) -> None:
    dtd = tmp_path / "order.dtd"
    dtd.write_text("<!ATTLIST a fetched CDATA 'yes'>")
    for address in (dtd, dtd.as_uri()):
        document = parse_xml(f'<!DOCTYPE a SYSTEM "{address}"><a/>'.encode(), max_bytes=LIMIT)
        assert document.external_doctype
        assert not document.root.attrib


def test_a_broken_external_dtd_is_not_even_looked_at(tmp_path: Path) -> None:
    dtd = tmp_path / "order.dtd"
    dtd.write_text("<!no declaration at all")
    assert parse_xml(f'<!DOCTYPE a PUBLIC "-//a" "{dtd}"><a/>'.encode(), max_bytes=LIMIT).external_doctype


def test_an_entity_of_an_external_dtd_stays_unread(tmp_path: Path) -> None:
    dtd = tmp_path / "order.dtd"
    dtd.write_text("<!ENTITY x 'fetched'>")
    root = parse_xml(f'<!DOCTYPE a SYSTEM "{dtd}"><a>&x;</a>'.encode(), max_bytes=LIMIT).root
    assert b"fetched" not in etree.tostring(root)


@pytest.mark.parametrize(
    "body",
    [
        "<a>å</a>".encode(),
        "<a>å</a>".encode("utf-8-sig"),
        "<?xml version='1.0' encoding='utf-8'?><a>å</a>".encode(),
        "<a>å</a>".encode("utf-16"),
        "<?xml version='1.0' encoding='UTF-16'?><a>å</a>".encode("utf-16"),
        "<?xml version='1.0' encoding='UTF-16LE'?><a>å</a>".encode("utf-16-le"),
        "<?xml version='1.0' encoding='UTF-16'?><a>å</a>".encode("utf-16-be"),
        '<?xml version="1.0" encoding="ISO-8859-1"?><a>å</a>'.encode("iso-8859-1"),
        '<?xml version="1.0" encoding="ISO-8859-15" standalone="yes"?><a>å</a>'.encode("iso-8859-15"),
        '<?xml version="1.0" encoding="windows-1252"?><a>å</a>'.encode("cp1252"),
        '<?xml version="1.0" encoding="US-ASCII"?><a>&#229;</a>'.encode("ascii"),
        "<!-- <!DOCTYPE a [] --><a>å</a>".encode(),
        "<a><![CDATA[å]]></a>".encode(),
    ],
)
def test_an_honest_encoding_is_read(body: bytes) -> None:
    assert parse_xml(body, max_bytes=LIMIT).root.text == "å"


def test_a_doctype_that_is_only_quoted_is_text() -> None:
    root = parse_xml(b"<a><![CDATA[<!DOCTYPE a [<!ENTITY x 'y'>]>]]></a>", max_bytes=LIMIT).root
    assert root.text == "<!DOCTYPE a [<!ENTITY x 'y'>]>"


def test_as_many_attributes_as_are_allowed_are_read_and_one_more_is_not() -> None:
    attributes = " ".join(f'a{i}="1"' for i in range(MOST_ATTRIBUTES))
    root = parse_xml(f"<a {attributes}/>".encode(), max_bytes=LIMIT).root
    assert len(root.attrib) == MOST_ATTRIBUTES
    with pytest.raises(InvalidInput, match="more than 1,000 attributes"):
        parse_xml(f'<a {attributes} b="1"/>'.encode(), max_bytes=LIMIT)


def test_a_long_document_with_many_attributes_in_all_is_read() -> None:
    body = b"<a>" + b'<b c="1" d="2">x = y</b>' * 2_000 + b"</a>"
    assert len(parse_xml(body, max_bytes=LIMIT).root) == 2_000


def test_the_limit_of_size_counts_every_byte() -> None:
    assert parse_xml(b"<a/>", max_bytes=4).root.tag == "a"
    with pytest.raises(InvalidInput) as refused:
        parse_xml(b"<a/>", max_bytes=3)
    assert refused.value.code == "document-too-large"
