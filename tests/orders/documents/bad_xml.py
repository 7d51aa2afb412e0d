"""Documents that must be refused, each by its name, with the code of the refusal."""

from __future__ import annotations

from typing import NamedTuple

from tests.orders.documents.ubl import ubl_order

TOO_LARGE, ENCODING = "document-too-large", "document-encoding"
UNSAFE, NOT_XML = "document-unsafe", "document-not-xml"


class Bad(NamedTuple):
    """A document and the code with which it is refused."""

    body: bytes
    code: str


def _declared(encoding: str, text: str = "<a>å</a>") -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>{text}'


def _laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    return f'<!DOCTYPE a [<!ENTITY l0 "ha">{entities}]><a>&l11;</a>'.encode()


def _attributes(value: str) -> bytes:
    return f"<a {' '.join(f'a{i}={value}' for i in range(100_000))}/>".encode()


XML_WITH_ENTITY = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
INCLUSION = '<a xmlns:i="http://www.w3.org/2001/XInclude"><i:include href="/etc/passwd" parse="text"/></a>'

BAD = {
    "an external entity": Bad(XML_WITH_ENTITY, UNSAFE),
    "a parameter entity": Bad(b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]><a/>', UNSAFE),
    "a billion laughs": Bad(_laughs(), UNSAFE),
    "an empty internal subset": Bad(b"<!DOCTYPE a []><a/>", UNSAFE),
    "an internal subset after an external one": Bad(
        b'<!DOCTYPE a SYSTEM "a.dtd" [<!ENTITY x "y">]><a/>', UNSAFE
    ),
    "a DOCTYPE without an external DTD": Bad(b"<!DOCTYPE a><a/>", UNSAFE),
    "a DOCTYPE behind a comment": Bad(b'<!-- x --><?p i?><!DOCTYPE a [<!ENTITY x "y">]><a/>', UNSAFE),
    "a DOCTYPE in UTF-16": Bad('<!DOCTYPE a [<!ENTITY x "y">]><a/>'.encode("utf-16"), UNSAFE),
    "a DOCTYPE where the format has none": Bad(
        b'<!DOCTYPE Order SYSTEM "http://127.0.0.1:9/o.dtd">' + ubl_order().encode(), UNSAFE
    ),
    "an undeclared entity": Bad(b"<a>&x;</a>", NOT_XML),
    "XInclude": Bad(INCLUSION.encode(), UNSAFE),
    "XInclude with its namespace in disguise": Bad(INCLUSION.replace("X", "&#88;").encode(), UNSAFE),
    "XInclude inside an order": Bad(ubl_order(more=INCLUSION).encode(), UNSAFE),
    "a depth of 30,000": Bad(b"<a>" * 30_000 + b"</a>" * 30_000, UNSAFE),
    "an 11 MB text": Bad(b"<a>" + b"x" * 11_000_000 + b"</a>", TOO_LARGE),
    "100,000 attributes": Bad(_attributes('"1"'), UNSAFE),
    "100,000 attributes with angle brackets": Bad(_attributes("'>'"), UNSAFE),
    "100,000 namespaces": Bad(_attributes('"u"').replace(b" a", b" xmlns:a"), UNSAFE),
    "a million elements": Bad(b"<a>" + b"<b>x</b>" * 1_000_000 + b"</a>", UNSAFE),
    "a name of 60,000 letters": Bad(b"<" + b"a" * 60_000 + b"/>", UNSAFE),
    "a NUL byte": Bad(b"<a>\0</a>", ENCODING),
    "a NUL character": Bad(b"<a>&#0;</a>", NOT_XML),
    "bad UTF-8": Bad(b"<a>\xff</a>", ENCODING),
    "overlong UTF-8": Bad(b"<a>\xc0\xbc</a>", ENCODING),
    "a surrogate in UTF-8": Bad(b"<a>\xed\xa0\x80</a>", ENCODING),
    "UTF-7": Bad(_declared("UTF-7", "<a>+AOU-</a>").encode(), ENCODING),
    "UTF-32": Bad("<a>å</a>".encode("utf-32"), ENCODING),
    "EBCDIC": Bad(_declared("IBM037").encode("cp037"), NOT_XML),
    "a codec of Python that is no encoding": Bad(
        _declared("unicode_escape", "<a>\\u0026</a>").encode(), ENCODING
    ),
    "an unknown encoding": Bad(_declared("bogus", "<a/>").encode(), ENCODING),
    "ISO-8859-1 declared, UTF-8 in truth": Bad(_declared("ISO-8859-1").encode(), ENCODING),
    "UTF-8 declared, ISO-8859-1 in truth": Bad(_declared("UTF-8").encode("iso-8859-1"), ENCODING),
    "UTF-8 declared, UTF-16 in truth": Bad(_declared("UTF-8").encode("utf-16"), ENCODING),
    "UTF-16 declared, UTF-8 in truth": Bad(_declared("UTF-16").encode(), ENCODING),
    "UTF-16BE declared, UTF-16LE in truth": Bad(_declared("UTF-16BE").encode("utf-16-le"), ENCODING),
    "UTF-16 declared behind a mark of UTF-8": Bad(_declared("UTF-16").encode("utf-8-sig"), ENCODING),
    "US-ASCII declared, UTF-8 in truth": Bad(_declared("US-ASCII").encode(), ENCODING),
    "half a character of UTF-16": Bad("<a/>".encode("utf-16") + b"\xd8", ENCODING),
    "no end": Bad(b"<a><b></a>", NOT_XML),
    "nothing": Bad(b"", NOT_XML),
    "plain text": Bad(b"Dear Sir or Madam", NOT_XML),
    "blanks before the XML declaration": Bad(b" " + _declared("UTF-8").encode(), NOT_XML),
}
