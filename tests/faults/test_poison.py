"""What cannot be handled waits with its reason, while everything else flows; pushed, it gets its verdict."""

from __future__ import annotations

import json

import pytest

from portal.clients.aws import Outgoing
from portal.orders.models import WaitingMessage
from portal.orders.states import WaitingState
from portal.runtime import Runtime
from sandbox.backbone import Backbone
from sandbox.samples import sample_order
from sandbox.ubl import as_ubl
from tests.faults.conftest import StartJobs
from tests.faults.orders import (
    assert_every_effect_once,
    numbered,
    push_message,
    put_orders,
    take_all,
    wait_for_completion,
    waiting_messages,
)
from tests.servers.waiting import wait_until

ALL = ("transformer", "reader", "runner", "waiting", "mail-events")
SECONDS = 90


def wait_for(runtime: Runtime, state: WaitingState, pushes: int) -> WaitingMessage:
    """Wait until the only message is in a state after so many pushes."""

    def there() -> list[WaitingMessage]:
        return [one for one in waiting_messages(runtime) if (one.state, one.pushes) == (state, pushes)]

    (message,) = wait_until(there, SECONDS, f"a message is {state} after {pushes} pushes")
    return message


def test_a_document_waits_with_its_reason_until_its_cause_is_gone_and_it_is_pushed(
    runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
) -> None:
    numbers = numbered("P", 8)
    bucket = {"name": runtime.settings.orders_bucket}
    created = {"eventName": "ObjectCreated:Put", "s3": {"bucket": bucket, "object": {"key": "late.xml"}}}
    event = Outgoing(json.dumps({"Records": [created]}))
    runtime.queues.send(runtime.settings.order_documents_queue, [event])
    put_orders(runtime, numbers)
    start_jobs(*ALL)

    wait_for_completion(runtime, len(numbers))
    gone = wait_for(runtime, WaitingState.WAITING, 0)
    assert (gone.subject, gone.code, gone.receives) == ("late.xml", "document-gone", 10)

    runtime.files.write(bucket["name"], "late.xml", b"<Order><ID>P-8</Order>", "application/xml")
    push_message(runtime, gone.id)
    broken = wait_for(runtime, WaitingState.WAITING, 1)
    assert broken.id == gone.id
    assert broken.code not in ("document-gone", "handling-failed")
    assert broken.reason != gone.reason

    good = as_ubl(sample_order("P-8", seed=8) | {"gift_cards": []})
    runtime.files.write(bucket["name"], "late.xml", good, "application/xml")
    push_message(runtime, gone.id)
    wait_for(runtime, WaitingState.PASSED, 2)
    wait_for_completion(runtime, len(numbers) + 1)


class TestAMessageThatKillsItsJobEachTime:
    @pytest.fixture
    def more_settings(self) -> dict[str, str]:
        return {"MAX_RECEIVES": "3", "VISIBILITY_SECONDS": "1"}

    @pytest.mark.parametrize("job", ["transformer", "reader"])
    def test_waits_and_passes_once_it_kills_no_more(
        self, runtime: Runtime, backbone: Backbone, start_jobs: StartJobs, job: str
    ) -> None:
        numbers = numbered("P", 1)
        # S3's word that it will notify the queue would be the first to kill.
        take_all(runtime, runtime.settings.order_documents_queue, 1)
        put_orders(runtime, numbers)
        jobs = start_jobs(*ALL, KILL_AT=f"{job}.before-handling")
        killer = wait_for(runtime, WaitingState.WAITING, 0)
        assert killer.code == "stopped-while-handling"
        assert jobs.log.read_text().count('"event": "job ended and will be started again"') >= 2
        jobs.stop()
        start_jobs(*ALL)
        push_message(runtime, killer.id)
        wait_for(runtime, WaitingState.PASSED, 1)
        wait_for_completion(runtime, 1)
        assert_every_effect_once(backbone.client, numbers)
