"""NanoMDM 0.9 as a CommandServer, and the signature of its webhook."""

import hmac
from base64 import b64encode
from hashlib import sha256

from osupdate_kit.servers.queue_api import NANOMDM, QueueServer

HMAC_HEADER = "X-Hmac-Signature"


class NanoMDM(QueueServer):
    """One NanoMDM."""

    dialect = NANOMDM


def signature_ok(body: bytes, header: str | None, key: bytes) -> bool:
    """Is `header` (X-Hmac-Signature) the base64 of HMAC-SHA256 over the raw body? In constant time."""
    if not header or not key:
        return False
    given = header.strip().encode(errors="backslashreplace")
    return hmac.compare_digest(given, b64encode(hmac.digest(key, body, sha256)))
