"""A writer that dies, and a commit whose answer is lost, cost time and nothing else."""

from __future__ import annotations

import pytest

from portal.db import migrate
from portal.runtime import Runtime
from sandbox.backbone import Backbone
from tests.faults.conftest import StartJobs
from tests.faults.orders import (
    assert_every_effect_once,
    events_of,
    numbered,
    put_orders,
    wait_for_completion,
    wait_until_completed,
)
from tests.servers.forwarder import Forwarder
from tests.servers.mariadb import Cluster

ALL = ("transformer", "reader", "runner", "mail-events")
SECONDS = 90


class TestAWriterThatIsKilledInTheMiddle:
    @pytest.fixture
    def writer_url(self, own_mariadb: Cluster) -> str:
        url = own_mariadb.writer_url(own_mariadb.create_database("waybill"))
        migrate(url)
        return url

    def test_is_waited_for_and_every_order_is_completed(
        self, own_mariadb: Cluster, runtime: Runtime, backbone: Backbone, start_jobs: StartJobs
    ) -> None:
        numbers = numbered("D", 40)
        put_orders(runtime, numbers)
        start_jobs(*ALL, CALLS_IN_FLIGHT="4")
        wait_until_completed(runtime, 3)
        own_mariadb.kill_primary()
        own_mariadb.restart_primary()
        runtime.database.dispose()
        wait_for_completion(runtime, len(numbers))
        assert_every_effect_once(backbone.client, numbers)


class TestACommitWhoseAnswerIsLost:
    @pytest.fixture
    def writer_url(self, mariadb: Cluster, forwarder: Forwarder, mariadb_database: str) -> str:
        direct = mariadb.writer_url(mariadb_database)
        return direct.replace(f":{mariadb.primary.port}/", f":{forwarder.port}/")

    def test_is_settled_by_what_the_database_says(
        self,
        mariadb: Cluster,
        mariadb_database: str,
        forwarder: Forwarder,
        runtime: Runtime,
        backbone: Backbone,
        start_jobs: StartJobs,
    ) -> None:
        numbers = numbered("D", 40)
        put_orders(runtime, numbers)
        start_jobs(*ALL, CALLS_IN_FLIGHT="4")
        for _ in range(8):
            forwarder.swallow_answer_to(b"COMMIT")
            assert forwarder.swallowed.wait(SECONDS)
        runtime.database.dispose()
        wait_for_completion(runtime, len(numbers))
        assert_every_effect_once(backbone.client, numbers)
        assert len(events_of(runtime, "order.received")) == len(numbers)
