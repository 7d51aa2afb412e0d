"""What is pasted is taken apart by blanks, commas and lines, and is bounded."""

from __future__ import annotations

import pytest

from portal.pasted import MOST_PASTED, read_pasted, split_pasted


def test_pieces_are_parted_by_blanks_commas_and_lines_and_come_once() -> None:
    assert read_pasted(" A-1, A-2\nA-3;A-2\t ana@example.com ") == ["A-1", "A-2", "A-3", "ana@example.com"]
    assert read_pasted(" ,; ") == []


def test_as_many_as_are_allowed_are_read_and_one_more_is_refused() -> None:
    numbers = [str(number) for number in range(MOST_PASTED)]
    assert read_pasted(" ".join(numbers)) == numbers
    with pytest.raises(ValueError, match=f"These are {MOST_PASTED + 1}; at most {MOST_PASTED}"):
        read_pasted(" ".join([*numbers, "x"]))
    assert len(split_pasted(" ".join([*numbers, "x"]))) == MOST_PASTED + 1
