"""The measurement of JSON-RPC ends with one line, and well only when all answers were right."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from bench import rpc
from bench.load import Measured

LINE = "calls_per_second=2 p99_ms=250.0 ceiling_per_second=2\n"


def measured(**wrong: int) -> Measured:
    return Measured(1.0, {"getuserreferralstats": [0.25, 0.25]}, Counter(wrong))


def test_right_answers_end_with_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    rpc._conclude(measured(), measured())
    assert capsys.readouterr().out == LINE


@pytest.mark.parametrize("wrong", [(measured(refused=3), measured()), (measured(), measured(refused=3))])
def test_a_wrong_answer_is_told_and_the_measurement_fails(
    capsys: pytest.CaptureFixture[str], wrong: tuple[Measured, Measured]
) -> None:
    with pytest.raises(SystemExit) as ended:
        rpc._conclude(*wrong)
    assert ended.value.code == 1
    assert capsys.readouterr().out == f"wrong 3 times: refused\n{LINE}"


def test_a_refusal_to_invite_is_no_right_answer() -> None:
    expected = {kind: rpc._call(random.Random(7), kind, 10).expected for kind in rpc.MIX}
    assert expected.pop("sendreferralemail") == b'"invited":true'
    assert set(expected.values()) == {b'"result":'}
