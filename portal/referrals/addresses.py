"""Mail addresses as they are looked up, and as the fraud check sees them; neither is ever delivered to."""

import unicodedata

from cryptography.exceptions import InvalidTag

from portal.crypto import DataCipher

# Where Gmail takes mail under two names, and ignores dots.
_SAME_DOMAIN = {"googlemail.com": "gmail.com"}
_IGNORES_DOTS = frozenset({"gmail.com"})
# Who delivers `ana+anything@` to `ana@`.
_TAKES_TAGS = frozenset(
    {
        "gmail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "msn.com",
        "icloud.com",
        "me.com",
        "mac.com",
        "fastmail.com",
        "proton.me",
        "protonmail.com",
    }
)


def normalise(address: str) -> str:
    """Return an address as it is looked up: trimmed, in lower case, composed (NFC).

    Accents stay: `josé@` and `jose@` are two people. Not case-folded, which would make `straße@` of
    `strasse@`.
    """
    return unicodedata.normalize("NFC", address.strip().lower())


def fold(address: str) -> str:
    """Return the mailbox behind an address, without the tag and the dots that big providers ignore.

    For the fraud check only: to write there would assume what only the provider knows.
    """
    local, at, domain = normalise(address).rpartition("@")
    domain = _SAME_DOMAIN.get(domain, domain)
    mailbox = local
    if domain in _TAKES_TAGS:
        mailbox = mailbox.partition("+")[0]
    if domain in _IGNORES_DOTS:
        mailbox = mailbox.replace(".", "")
    return f"{mailbox or local}{at}{domain}"


def mask(address: str) -> str:
    """Return an address for those who need not know whose it is: the first letter and the domain."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}…{at}{domain}"


def open_address(stored: bytes | None, cipher: DataCipher, *, masked: bool) -> str | None:
    """Return an encrypted address, masked or whole; None when it was erased, or encrypted by another key."""
    try:
        address = cipher.decrypt(stored).decode() if stored else None
    except InvalidTag:
        return None
    return mask(address) if address and masked else address


def address_index(cipher: DataCipher, address: str) -> str:
    """Return the keyed hash by which an address is looked up."""
    return cipher.blind_index(normalise(address))


def folded_index(cipher: DataCipher, address: str) -> str:
    """Return the keyed hash by which the fraud check finds addresses of the same mailbox."""
    return cipher.blind_index(fold(address))
