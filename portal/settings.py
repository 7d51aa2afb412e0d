"""Every setting of Waybill, declared once."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError


class BadSettings(Exception):
    """Settings are missing or malformed; the message has a line for each of them."""


def _is_a_data_key(value: str) -> str:
    try:
        length = len(base64.b64decode(value, validate=True))
    except binascii.Error:
        length = 0
    if length != 32:
        raise ValueError("must be 32 random bytes in base64")
    return value


class Settings(BaseModel):
    """What the environment told the process; each field is the variable of its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    database_writer_url: str = "sqlite:///var/waybill.db"
    database_reader_url: str = ""
    database_pool_size: int = Field(default=20, ge=1, le=200)

    secret_key: str = Field(min_length=32)
    data_key: Annotated[str, AfterValidator(_is_a_data_key)]
    session_hours: int = Field(default=12, ge=1, le=720)
    cookie_secure: bool = True
    trusted_proxies: int = Field(default=0, ge=0, le=5)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    aws_region: str = "us-east-1"
    aws_endpoint_url: str | None = None
    ses_endpoint_url: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None

    orders_bucket: str = "orders-in"
    originals_bucket: str = "order-originals"
    order_documents_queue: str = "order-documents"
    orders_queue: str = "orders.fifo"
    order_documents_waiting_queue: str = "order-documents-waiting"
    orders_waiting_queue: str = "orders-waiting.fifo"
    mail_events_queue: str = "mail-events"
    max_receives: int = Field(default=10, ge=1, le=1000)
    visibility_seconds: int = Field(default=30, ge=1, le=43200)
    max_document_bytes: int = Field(default=10_000_000, ge=1_000, le=100_000_000)
    api_requests_per_minute: int = Field(default=6_000, ge=1)

    gift_card_url: str = "http://127.0.0.1:8090/gift-card"
    eom_url: str = "http://127.0.0.1:8090/eom"
    tax_documents_url: str = "http://127.0.0.1:8090/tax-documents"
    pos_url: str = "http://127.0.0.1:8090/pos"
    mail_from: str = "orders@mail.waybill.example"
    call_deadline_seconds: float = Field(default=10, gt=0, le=120)
    calls_in_flight: int = Field(default=32, ge=1, le=500)
    breaker_failures: int = Field(default=20, ge=1)
    breaker_seconds: float = Field(default=5, gt=0)
    lease_seconds: float = Field(default=60, gt=0, le=3600)

    jobs: str = "all"
    heartbeat_seconds: float = Field(default=5, gt=0)
    dogstatsd_host: str | None = None
    dogstatsd_port: int = Field(default=8125, ge=1, le=65535)
    sandbox_url: str | None = None
    kill_at: str = ""

    @property
    def reader_url(self) -> str:
        return self.database_reader_url or self.database_writer_url


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from an environment.

    Raises BadSettings with one line for each missing or malformed variable.
    """
    given = {
        name: environ[name.upper()] for name in Settings.model_fields if environ.get(name.upper(), "") != ""
    }
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        lines = [f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise BadSettings("\n".join(lines)) from None
