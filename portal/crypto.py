"""Personal data at rest: encrypted columns, and the blind index by which they are looked up."""

import base64
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_NONCE_BYTES = 12


class DataCipher:
    """Encrypts values with AES-256-GCM (NIST SP 800-38D) and makes keyed look-up hashes (HMAC-SHA-256)."""

    def __init__(self, data_key: str) -> None:
        root = base64.b64decode(data_key)
        self._aead = AESGCM(_derive(root, b"columns"))
        self._index_key = _derive(root, b"blind-index")

    def encrypt(self, value: bytes) -> bytes:
        """Return nonce and ciphertext of a value; the same value encrypts differently every time."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, value, None)

    def decrypt(self, stored: bytes) -> bytes:
        """Return the value of what `encrypt` made; raises InvalidTag when it was altered or cut."""
        if len(stored) < _NONCE_BYTES:
            raise InvalidTag
        return self._aead.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], None)

    def blind_index(self, value: str) -> str:
        """Return 64 hex digits by which an encrypted value is found again, without telling what it is."""
        return hmac.new(self._index_key, value.encode(), hashlib.sha256).hexdigest()


def new_token() -> str:
    """Return 256 random bits as text that is safe in cookies, headers and addresses."""
    return secrets.token_urlsafe(32)


def new_link_token() -> str:
    """Return 128 random bits as 22 characters that are safe in a link, and short enough for a mail."""
    return secrets.token_urlsafe(16)


def token_hash(token: str) -> str:
    """Return the SHA-256 of a token, in hex: the form in which tokens are kept.

    A token has at least 128 random bits, so that no slow hash is needed: nobody can try them all.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _derive(root: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=hashes.SHA256(), length=32, info=purpose).derive(root)
