"""Takes the picture of the README: `make screenshot`. An order has stopped, and says why."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import boto3
from playwright.sync_api import Page

from sandbox.child import Child
from sandbox.client import SandboxClient
from sandbox.emulator import HOST, free_port
from sandbox.samples import sample_order
from sandbox.ubl import as_ubl
from tests.servers.browser import browser

PICTURE = Path(__file__).with_name("screenshot.png")
PASSWORD = secrets.token_urlsafe(16)
ORDERS = 8
STOPPED_SECONDS = 120_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        port = free_port()
        environment = os.environ | {
            "PORT": str(port),
            "PORTAL_DEMO_PASSWORD": PASSWORD,
            "DEMO_TRAFFIC": "0",
            "PYTHONUNBUFFERED": "1",
        }
        everything = Child("Waybill", ["sandbox", "up", "--home", str(home)], environment, home / "up.log")
        try:
            everything.wait_until(lambda: "is ready at" in everything.log.read_text(), 60)
            stop_orders(home, everything.log.read_text())
            with browser() as launched:
                page = launched.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
                take_picture(page, f"http://{HOST}:{port}")
        finally:
            everything.stop()


def stop_orders(home: Path, told: str) -> None:
    """Put orders into the bucket while no tax document can be issued."""
    SandboxClient((home / "sandbox.url").read_text()).put_fault("tax-documents", "down")
    aws = next(line.split()[1] for line in told.splitlines() if line.strip().startswith("AWS:"))
    keys = {"aws_access_key_id": "000000000000", "aws_secret_access_key": "embedded"}
    s3 = boto3.client("s3", endpoint_url=aws, region_name="us-east-1", **keys)
    for number in range(ORDERS):
        document = as_ubl(sample_order(f"SO-{20260 + number}", seed=number))
        s3.put_object(Bucket="orders-in", Key=f"e-commerce/SO-{20260 + number}.xml", Body=document)


def take_picture(page: Page, address: str) -> None:
    page.goto(f"{address}/login")
    page.get_by_label("Login").fill("support")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{address}/")
    page.goto(f"{address}/orders/SO-20260")
    page.get_by_role("button", name="Push").first.wait_for(timeout=STOPPED_SECONDS)
    page.reload(wait_until="networkidle")
    page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
