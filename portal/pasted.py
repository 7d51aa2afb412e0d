"""What people paste to look for: numbers, addresses, links, with blanks, commas or lines between them."""

import re

MOST_PASTED = 200
_SEPARATORS = re.compile(r"[\s,;]+")


def split_pasted(text: str) -> list[str]:
    """Return the pieces of a text, as many as there are."""
    return [piece for piece in _SEPARATORS.split(text) if piece]


def read_pasted(text: str) -> list[str]:
    """Return the pieces of a text, each once, in their order; raises ValueError for more than MOST_PASTED."""
    pieces = split_pasted(text)
    if len(pieces) > MOST_PASTED:
        raise ValueError(f"These are {len(pieces)}; at most {MOST_PASTED} can be looked for at once.")
    return list(dict.fromkeys(pieces))
