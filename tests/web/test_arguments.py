"""Ids in addresses are read within what a database can hold, and anything else is told."""

from __future__ import annotations

import pytest

from portal.errors import InvalidInput
from portal.web.arguments import read_id
from tests.web.portal import Visitor

BEYOND = "9" * 20
READ_IDS = (
    "/rewards?above={}",
    "/conditions?above={}",
    "/orders/A-1?before={}",
    "/referrals?scheme={}",
    "/referrals/users/1?before={}",
)


def test_an_id_is_read() -> None:
    assert read_id({"above": " 17 "}, "above") == 17
    assert read_id({"above": "9" * 18}, "above") == 10**18 - 1


def test_what_is_not_given_is_none() -> None:
    assert read_id({}, "above") is None
    assert read_id({"above": ""}, "above") is None


@pytest.mark.parametrize("written", ["x", "-1", "1.5", "1_0", "٤", "²", "9" * 19])
def test_what_is_no_id_is_refused_by_its_name(written: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_id({"above": written}, "above")
    assert refused.value.field == "above"


@pytest.mark.parametrize("path", READ_IDS)
@pytest.mark.parametrize("written", [BEYOND, "x"])
def test_a_page_tells_of_an_id_that_is_none(admin: Visitor, path: str, written: str) -> None:
    answer = admin.get(path.format(written))
    assert answer.status_code == 422
    assert "must be an id in digits" in answer.text


@pytest.mark.parametrize(
    "path", ["/experiments/{}", "/waiting/{}/body", "/waiting/{}/verdict", "/processes/{}/drawing.bpmn"]
)
def test_nothing_has_an_id_beyond_what_a_database_holds(admin: Visitor, path: str) -> None:
    assert admin.get(path.format(BEYOND)).status_code == 404
