"""Order the lists of orders by when they were received, and find completed ones and amounts by index."""

from alembic import op

revision = "0002"
down_revision = "0001"

LISTED_BY = ("status", "channel", "store", "country")


def upgrade() -> None:
    for column in LISTED_BY:
        op.create_index(f"ix_purchase_order_{column}_received_at", "purchase_order", [column, "received_at"])
    op.create_index("ix_purchase_order_total", "purchase_order", ["total"])
    op.create_index("ix_purchase_order_completed_at", "purchase_order", ["completed_at"])
    for column in LISTED_BY:
        op.drop_index(f"ix_purchase_order_{column}_id", "purchase_order")
