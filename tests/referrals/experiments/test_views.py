"""Experiments as executives and administrators read and run them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from portal.referrals.rewards.models import Experiment
from portal.runtime import Runtime
from tests.referrals.inviting import PRODUCT, add_active_scheme
from tests.web.portal import Visitor

FORM = {"name": "spring", "product": PRODUCT, "percentage": "25", "horizon": "2999-01-31"}


@pytest.fixture(autouse=True)
def _scheme(runtime: Runtime) -> None:
    with runtime.writer() as session:
        add_active_scheme(session)


def experiments(runtime: Runtime) -> list[Experiment]:
    with runtime.writer() as session:
        return list(session.scalars(select(Experiment)))


def test_an_executive_starts_an_experiment_and_stops_it(runtime: Runtime, executive: Visitor) -> None:
    assert "No experiment yet" in executive.get("/experiments").text
    started = executive.send("/experiments", FORM)
    assert (started.status_code, started.headers["Location"]) == (303, "/experiments/1")
    (row,) = experiments(runtime)
    assert (row.name, str(row.percentage)) == ("spring", "25.00")
    assert row.horizon_at.isoformat() == "2999-01-31T00:00:00+00:00"
    page = executive.get("/experiments/1").text
    assert "No verdict before the horizon" in page
    assert "Start an experiment" in page
    assert 'action="/experiments/1/stop"' in page
    assert executive.send("/experiments/1/stop").status_code == 303
    assert experiments(runtime)[0].stopped_at is not None
    assert "/experiments/1/stop" not in executive.get("/experiments/1").text


def test_after_a_stop_the_page_says_why_there_is_no_verdict(runtime: Runtime, admin: Visitor) -> None:
    admin.send("/experiments", FORM)
    assert admin.send("/experiments/1/stop").status_code == 303
    assert "stopped before its horizon" in admin.get("/experiments").text
    again = admin.send("/experiments/1/stop")
    assert again.status_code == 409
    assert "The experiment has been stopped already." in again.text
    assert 'id="results-title">spring' in again.text
    assert admin.send("/experiments/9/stop").status_code == 404
    assert experiments(runtime)[0].stopped_at is not None


def test_what_was_counted_is_shown_with_its_time_and_what_it_does_not_prove(
    runtime: Runtime, admin: Visitor
) -> None:
    admin.send("/experiments", FORM)
    assert "not counted yet" in admin.get("/experiments").text
    sides = {"referrers": 40, "brought": 12, "brought_squares": 30, "bringers": 7}
    sides |= {"converted": 4, "converted_squares": 6}
    over = runtime.clock() - timedelta(hours=1)
    values = {"horizon_at": over, "counted_at": runtime.clock(), "figures_are_final": True}
    with runtime.writer() as session:
        figures = {"offered": sides, "withheld": {"referrers": 120}}
        session.execute(update(Experiment).values(figures=figures, **values))
    page = admin.get("/experiments").text
    assert "bring more new users by referral" in page
    assert f"{over:%Y-%m-%d %H:%M}" in page
    for figure in (">12<", ">4<", ">0.3000<", ">0.1000<", "+0.1000", "17.50%", "for good"):
        assert figure in page, figure
    assert "does not prove that there are more users in all" in page


def test_past_its_horizon_an_experiment_with_nobody_in_it_has_no_verdict(
    runtime: Runtime, admin: Visitor
) -> None:
    admin.send("/experiments", FORM)
    assert "No verdict before the horizon" in admin.get("/experiments").text
    over = {"horizon_at": runtime.clock() - timedelta(seconds=1), "figures_are_final": True}
    with runtime.writer() as session:
        session.execute(update(Experiment).values(figures={}, counted_at=runtime.clock(), **over))
    assert "too few referrers" in admin.get("/experiments").text


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"name": ""}, 422, "Give it a name."),
        ({"product": "cards"}, 422, "Not a valid choice."),
        ({"percentage": "100"}, 422, "A percentage is above 0 and below 100"),
        ({"percentage": "many"}, 422, "Not a valid decimal value."),
        ({"percentage": "NaN"}, 422, "A percentage is above 0 and below 100"),
        ({"horizon": "2000-01-01"}, 422, "The horizon is in the future."),
        ({"horizon": "soon"}, 422, "Not a valid date value."),
    ],
)
def test_what_is_entered_wrongly_is_said_at_its_field(
    runtime: Runtime, admin: Visitor, given: dict[str, str], status: int, said: str
) -> None:
    refused = admin.send("/experiments", FORM | given)
    assert refused.status_code == status
    assert said in refused.text
    assert experiments(runtime) == []


def test_a_second_experiment_of_the_product_is_refused_and_the_first_is_named(admin: Visitor) -> None:
    admin.send("/experiments", FORM)
    refused = admin.send("/experiments", FORM | {"name": "summer"})
    assert refused.status_code == 409
    assert "The experiment spring still runs" in refused.text


def test_support_neither_sees_nor_starts_nor_stops_one(
    runtime: Runtime, admin: Visitor, executive: Visitor, support: Visitor
) -> None:
    assert support.send("/experiments", FORM).status_code == 403
    admin.send("/experiments", FORM)
    assert support.send("/experiments/1/stop").status_code == 403
    assert experiments(runtime)[0].stopped_at is None
    assert support.get("/experiments").status_code == 403
    assert "/experiments" not in support.get("/").text
    assert "/experiments" in executive.get("/").text
    assert admin.get("/experiments/9").status_code == 404


def test_a_hostile_name_is_shown_as_text(admin: Visitor) -> None:
    admin.send("/experiments", FORM | {"name": '<img src=x onerror="go()">'})
    page = admin.get("/experiments").text
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
