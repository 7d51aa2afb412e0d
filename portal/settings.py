"""Every setting of Waybill, declared once."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


class BadSettings(Exception):
    """Settings are missing or malformed; the message has a line for each of them."""


def _is_a_data_key(value: str) -> str:
    try:
        length = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if length != 32:
        raise PydanticCustomError("data_key", "must be 32 random bytes in base64")
    return value


def _is_a_database(value: str) -> str:
    try:
        url = make_url(value) if value else None
    except (ArgumentError, ValueError):
        raise PydanticCustomError("database", "is not the address of a database") from None
    if url and (url.drivername not in ("sqlite", "mysql+pymysql") or not url.database):
        raise PydanticCustomError("database", "must be sqlite:///PATH or mysql+pymysql://HOST/DATABASE")
    return value


DataKey = Annotated[str, AfterValidator(_is_a_data_key), Field(repr=False)]
DatabaseUrl = Annotated[str, AfterValidator(_is_a_database), Field(repr=False)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseModel):
    """What the environment told the process; each field is the variable of its name in capitals.

    What is secret is not in its `repr`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    database_writer_url: DatabaseUrl = Field(
        default="sqlite:///var/waybill.db",
        description="SQLAlchemy address of the database that is written to: mysql+pymysql://… or sqlite:///….",
    )
    database_reader_url: DatabaseUrl = Field(
        default="", description="The same for reading; empty: the writer."
    )
    database_pool_size: int = Field(
        default=20, ge=1, le=200, description="Connections that each process keeps to each of the two."
    )

    secret_key: str = Field(min_length=32, repr=False, description="Signs cookies and form tokens.")
    data_key: DataKey = Field(
        description="32 random bytes in base64: encrypts personal data and keys its look-up hashes."
    )
    session_hours: int = Field(default=12, ge=1, le=720, description="How long a login lasts.")
    cookie_secure: bool = Field(
        default=True, description="Whether cookies are sent over HTTPS only; false only on one's own machine."
    )
    trusted_proxies: int = Field(
        default=0, ge=0, le=5, description="How many proxies before the portal set X-Forwarded-For."
    )
    log_level: LogLevel = Field(default="info", description="debug, info, warning or error.")

    aws_region: str = Field(default="us-east-1", description="Region of queues, buckets and mail.")
    aws_endpoint_url: HttpUrl | None = Field(
        default=None, description="Where AWS is spoken to; unset: AWS itself."
    )
    ses_endpoint_url: HttpUrl | None = Field(
        default=None, description="Where SES is spoken to, when elsewhere than the rest of AWS."
    )
    aws_access_key_id: str | None = Field(
        default=None, description="Access key; unset: what boto3 finds, such as the instance's role."
    )
    aws_secret_access_key: str | None = Field(default=None, repr=False, description="Its secret.")

    orders_bucket: str = Field(default="orders-in", description="Bucket into which order documents are put.")
    originals_bucket: str = Field(
        default="order-originals",
        description="Bucket for the originals of orders that came by the API or by import.",
    )
    order_documents_queue: str = Field(
        default="order-documents", description="Queue with the events of the bucket."
    )
    orders_queue: str = Field(default="orders.fifo", description="FIFO queue with canonical orders.")
    order_documents_waiting_queue: str = Field(
        default="order-documents-waiting", description="Where events go that fail too often."
    )
    orders_waiting_queue: str = Field(
        default="orders-waiting.fifo", description="Where canonical orders go that fail too often."
    )
    mail_events_queue: str = Field(
        default="mail-events", description="Queue with the delivery notices of SES."
    )
    mail_events_waiting_queue: str = Field(
        default="mail-events-waiting", description="Where notices go that fail too often."
    )
    max_receives: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="How often a message is received without success before it waits for a person.",
    )
    visibility_seconds: int = Field(
        default=30, ge=1, le=43200, description="How long a received message is hidden from others."
    )
    max_document_bytes: int = Field(
        default=10_000_000, ge=1_000, le=100_000_000, description="Size above which a document is refused."
    )
    api_requests_per_minute: int = Field(
        default=6_000, ge=1, description="Requests of one API client in a minute before it is told to wait."
    )

    gift_card_url: HttpUrl = Field(description="Address of the gift card system.")
    eom_url: HttpUrl = Field(description="Address of enterprise order management.")
    tax_documents_url: HttpUrl = Field(description="Address of the tax document system.")
    pos_url: HttpUrl = Field(description="Address of the point of sale.")
    mail_from: str = Field(
        default="orders@mail.waybill.example",
        description="Sender of all mails; its domain is verified in SES.",
    )
    call_deadline_seconds: float = Field(
        default=10, gt=0, le=120, description="How long one call of an outside system may take in all."
    )
    calls_in_flight: int = Field(
        default=32, ge=1, le=500, description="Calls that one runner has under way at once."
    )
    breaker_failures: int = Field(
        default=20, ge=1, description="Failed calls in a row after which a system is left alone."
    )
    breaker_seconds: float = Field(
        default=5, gt=0, description="How long it is left alone before one call tries it again."
    )
    lease_seconds: float = Field(
        default=60,
        gt=0,
        le=3600,
        validate_default=True,
        description="How long a worker may hold a step before others take over: more than two calls take.",
    )

    jobs: str = Field(
        default="all",
        description="Jobs that start beside the web process: all, none, or names joined by commas.",
    )
    heartbeat_seconds: float = Field(default=5, gt=0, description="How often each job says that it is alive.")
    dogstatsd_host: str | None = Field(
        default=None, description="Where DogStatsd listens; unset: nothing is sent to Datadog."
    )
    dogstatsd_port: int = Field(default=8125, ge=1, le=65535, description="Its port.")
    sandbox_url: HttpUrl | None = Field(
        default=None, description="Address of the stand-ins of the outside systems, where they are used."
    )
    kill_at: str = Field(
        default="",
        pattern=r"^([a-z.-]+(:[1-9][0-9]*)?)?$",
        description="For tests: a named point at which the process kills itself.",
    )

    # Of referrals: invitations
    public_url: HttpUrl = Field(
        default="http://127.0.0.1:8000",
        description="Address of the portal, to which links in mails lead.",
    )
    sign_up_url: HttpUrl = Field(
        default="https://www.waybill.example/sign-up",
        description="Where a person who was invited signs up; a link's token is added to it.",
    )
    invitations_per_day: int = Field(
        default=50, ge=1, le=100_000, description="Invitations that one user may send on a day (UTC)."
    )

    # Of referrals: sign-ups, verifications, fraud check, rewards
    user_sign_ups_queue: str = Field(
        default="user-sign-ups", description="Queue that is subscribed to the topic of sign-ups."
    )
    user_sign_ups_waiting_queue: str = Field(
        default="user-sign-ups-waiting", description="Where sign-ups go that fail too often."
    )
    user_sign_ups_topic_arn: str | None = Field(
        default=None, description="The only topic whose sign-ups are taken; unset: whatever the queue has."
    )
    user_verifications_queue: str = Field(
        default="user-verifications", description="Queue that is subscribed to the topic of verifications."
    )
    user_verifications_waiting_queue: str = Field(
        default="user-verifications-waiting", description="Where verifications go that fail too often."
    )
    user_verifications_topic_arn: str | None = Field(
        default=None, description="The only topic whose verifications are taken; unset: what the queue has."
    )
    fraud_window_seconds: int = Field(
        default=3600, ge=60, le=604_800, description="Within how long sign-ups of one origin are counted."
    )
    fraud_sign_ups_of_network: int = Field(
        default=10, ge=2, le=1000, description="Sign-ups of one address block from which on they are flagged."
    )
    fraud_sign_ups_of_device: int = Field(
        default=3, ge=2, le=1000, description="Sign-ups of one device from which on they are flagged."
    )
    fraud_referrals_a_day: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Recruits of one referrer a day, above which is flagged.",
    )
    rewards_url: HttpUrl = Field(description="Address of the reward system.")

    # Of referrals: spend polls
    spend_url: HttpUrl = Field(description="Address of the service that knows what users spent.")
    spend_poll_seconds: float = Field(
        default=120, gt=0, le=86_400, description="From the start of one poll of spends to that of the next."
    )
    spend_batch_users: int = Field(
        default=500, ge=1, le=5_000, description="Users whose spends are asked for by one call."
    )
    spend_users_per_second: int = Field(
        default=20_000, ge=1, description="Users whose spends are asked for in a second, at most."
    )

    @field_validator("lease_seconds")
    @classmethod
    def _outlasts_a_question_and_a_call(cls, lease: float, info: ValidationInfo) -> float:
        # One attempt asks what became of the one before, and calls: others may not begin meanwhile.
        deadline = info.data.get("call_deadline_seconds", 0)
        if lease <= 2 * deadline:
            raise PydanticCustomError(
                "lease",
                "must be more than twice CALL_DEADLINE_SECONDS, which is {deadline}",
                {"deadline": f"{deadline:g}"},
            )
        return lease

    @property
    def personal_queues(self) -> frozenset[str]:
        """The queues whose messages tell of people, who may ask to be erased."""
        return frozenset({self.mail_events_queue, self.user_sign_ups_queue, self.user_verifications_queue})

    @property
    def reader_url(self) -> str:
        return self.database_reader_url or self.database_writer_url


def settings_table() -> str:
    """Return every setting with its default and what it is, as a table in Markdown."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() else f"`{field.default}`" if field.default else "none"
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


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
