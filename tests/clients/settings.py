"""Settings for clients that are tested by themselves."""

from __future__ import annotations

import base64

from portal.settings import Settings, load_settings

SYSTEMS = ("GIFT_CARD", "EOM", "TAX_DOCUMENTS", "POS", "REWARDS", "SPEND")


def settings_for(aws_endpoint: str, account: str, **more: str) -> Settings:
    """Return settings that point at the emulator, with buckets of this account's own."""
    nowhere = "http://127.0.0.1:9"
    return load_settings(
        {
            "SECRET_KEY": "s" * 32,
            "DATA_KEY": base64.b64encode(bytes(32)).decode(),
            "AWS_ENDPOINT_URL": aws_endpoint,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "ORDERS_BUCKET": f"orders-in-{account}",
            "ORIGINALS_BUCKET": f"order-originals-{account}",
            **{f"{system}_URL": nowhere for system in SYSTEMS},
            **more,
        }
    )
