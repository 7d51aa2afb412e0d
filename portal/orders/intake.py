"""Taking in orders that are handed over one by one: by the API, and by import at the shell."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Literal

from portal.events import Actor
from portal.orders import service
from portal.orders.documents import read_document
from portal.orders.service import Arrival, DocumentPlace, Receipt

if TYPE_CHECKING:
    from portal.runtime import Runtime

PROCESS = "retail-order"


def take_in(runtime: Runtime, body: bytes, *, source: Literal["api", "import"], actor: Actor) -> Receipt:
    """Read an order document, keep its original, and take the order in; say what became of it.

    The original is kept first, under a name of ours: when the database then fails, all that is left is an
    object that nothing refers to, and the same document may be handed over again.

    Raises InvalidInput for a document that is no order (see `read_document`), Upstream when the bucket is
    away.
    """
    settings = runtime.settings
    document = read_document(body, runtime.formats, max_bytes=settings.max_document_bytes)
    is_json = runtime.formats.json is not None and document.format_name == runtime.formats.json.name
    key = f"{source}/{hashlib.sha256(body).hexdigest()}"
    media_type = "application/json" if is_json else "application/xml"
    version = runtime.files.write(settings.originals_bucket, key, body, media_type)
    place = DocumentPlace(document.format_name, settings.originals_bucket, key, version)
    receive = partial(
        service.receive_orders,
        arrivals=[Arrival(document.order, place, source, runtime.new_id())],
        definition=runtime.definitions.get(PROCESS),
        cipher=runtime.cipher,
        actor=actor,
        now=runtime.clock(),
    )
    return runtime.transact(receive)[0]
