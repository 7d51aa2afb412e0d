"""Incoming order documents: parsed safely, recognised, read into the canonical order, shown masked."""

from portal.orders.documents.reader import (
    MAX_DOCUMENT_BYTES,
    Formats,
    ReadDocument,
    load_formats,
    read_document,
)

__all__ = ["MAX_DOCUMENT_BYTES", "Formats", "ReadDocument", "load_formats", "read_document"]
