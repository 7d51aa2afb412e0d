"""What support staff do is not lost when the database takes another's side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, update

from portal.events import Event
from portal.referrals.progress.models import ReferralProgress
from portal.referrals.schemes.models import SchemeBudget
from portal.runtime import Runtime
from tests.referrals.scenes import RECRUIT, Scene, scheme
from tests.servers.mariadb import Cluster
from tests.servers.waiting import wait_until
from tests.web.portal import Visitor


@pytest.mark.parametrize("migrated_urls", ["mariadb"], indirect=True)
def test_who_loses_against_a_job_that_records_much_begins_anew_unseen(
    runtime: Runtime, support: Visitor, mariadb: Cluster
) -> None:
    with runtime.writer() as session:
        scheme_id = scheme(session, total="1000.00")
    scene = Scene(runtime.database, scheme_id, runtime.cipher, runtime.clock())
    referral_id = scene.convert(referrer=RECRUIT)
    name = runtime.database.writer_engine.url.database
    path = f"/referrals/users/{RECRUIT}/referrals/{referral_id}/deny"
    noted = {"at": scene.now, "subject": "test", "kind": "noted", "actor_kind": "job", "actor": "job"}
    with ThreadPoolExecutor(1) as pool:
        with runtime.writer() as session:
            # So much that the database undoes the work of the other one.
            session.execute(insert(Event), [noted | {"subject_id": n, "data": {}} for n in range(500)])
            session.execute(update(SchemeBudget).values(total=2000))
            denying = pool.submit(support.send, path, {"reason": "Twins."})
            wait_until(lambda: mariadb.has_waiting(name), 20, "nobody waits for the budget")
            session.get_one(ReferralProgress, referral_id, with_for_update=True, populate_existing=True)
        answer = denying.result(60)
    assert answer.status_code == 303
    assert scene.progress().review == "denied"
    assert len(scene.events("referral.denied")) == 1
