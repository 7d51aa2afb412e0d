"""Settings are read once, and all that is wrong with them is told at once."""

from __future__ import annotations

import base64

import pytest

from portal.settings import BadSettings, Settings, load_settings

NEEDED = {
    "SECRET_KEY": "s" * 32,
    "DATA_KEY": base64.b64encode(b"d" * 32).decode(),
    "GIFT_CARD_URL": "http://127.0.0.1:1/gift-card",
    "EOM_URL": "http://127.0.0.1:1/eom",
    "TAX_DOCUMENTS_URL": "http://127.0.0.1:1/tax-documents",
    "POS_URL": "http://127.0.0.1:1/pos",
    "REWARDS_URL": "http://127.0.0.1:1/rewards",
    "SPEND_URL": "http://127.0.0.1:1/spend",
}


def load(**more: str) -> Settings:
    return load_settings(NEEDED | more)


def complaints(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(BadSettings) as refused:
        load_settings(environ)
    return dict(line.split(": ", 1) for line in str(refused.value).splitlines())


def test_all_that_is_missing_or_malformed_is_told_together() -> None:
    told = complaints({"DATABASE_POOL_SIZE": "many", "LOG_LEVEL": "loud", "POS_URL": "pos.example.com"})
    assert set(told) == {
        *(NEEDED.keys() - {"POS_URL"}),
        "DATABASE_POOL_SIZE",
        "LOG_LEVEL",
        "POS_URL",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("DATA_KEY", "not base64"),
        ("DATA_KEY", "clé"),
        ("DATA_KEY", base64.b64encode(b"31 bytes".ljust(31)).decode()),
        ("DATABASE_WRITER_URL", "postgresql://host/waybill"),
        ("DATABASE_WRITER_URL", "waybill.db"),
        ("DATABASE_WRITER_URL", "sqlite://"),
        ("DATABASE_READER_URL", "mysql+pymysql://host:port/waybill"),
        ("DATABASE_READER_URL", "mysql+pymysql://host"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("VISIBILITY_SECONDS", "0"),
        ("HEARTBEAT_SECONDS", "nan"),
        ("BREAKER_SECONDS", "inf"),
        ("KILL_AT", "runner.before-claim:0"),
        ("DOGSTATSD_PORT", "65536"),
    ],
)
def test_a_malformed_setting_is_refused_by_its_name(name: str, value: str) -> None:
    assert set(complaints(NEEDED | {name: value})) == {name}


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATA_KEY", "DATABASE_WRITER_URL"])
def test_a_secret_that_is_refused_is_not_quoted(name: str) -> None:
    assert "hunter2" not in complaints(NEEDED | {name: "mysql://hunter2"})[name]


def test_a_setting_that_is_empty_is_not_set() -> None:
    assert load(AWS_ENDPOINT_URL="", DATABASE_POOL_SIZE="").database_pool_size == 20
    assert load(AWS_ENDPOINT_URL="").aws_endpoint_url is None


def test_the_reader_is_the_writer_unless_it_is_set() -> None:
    writer, reader = "mysql+pymysql://writer/waybill", "mysql+pymysql://reader/waybill"
    assert load(DATABASE_WRITER_URL=writer).reader_url == writer
    assert load(DATABASE_WRITER_URL=writer, DATABASE_READER_URL=reader).reader_url == reader


def test_what_is_secret_is_not_in_the_text_of_the_settings() -> None:
    secrets = {
        "SECRET_KEY": "signing-key-" * 4,
        "DATA_KEY": base64.b64encode(b"personal data key".ljust(32)).decode(),
        "AWS_SECRET_ACCESS_KEY": "aws-secret",
        "DATABASE_WRITER_URL": "mysql+pymysql://waybill:writer-password@host/waybill",
        "DATABASE_READER_URL": "mysql+pymysql://waybill:reader-password@host/waybill",
    }
    shown = f"{load(**secrets)!r} {load(**secrets)}"
    assert not [name for name, value in secrets.items() if value in shown]
    assert "waybill:" not in shown
