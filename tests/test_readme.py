"""The README is true: it lists the settings that there are, and the commands that make knows."""

from __future__ import annotations

import re
from pathlib import Path

from portal.settings import settings_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_readme_lists_every_setting_as_it_is_declared() -> None:
    listed = README.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert listed == settings_table(), "Paste the output of `python -m portal settings` between the marks."


def test_every_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [README, *[page.read_text() for page in (ROOT / "docs").glob("*.md")]]
    named = {target for text in texts for target in re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]+)", text)}
    assert named <= targets, f"These are no targets of make: {sorted(named - targets)}"


def test_every_file_that_the_documents_link_to_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    links = {(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())}
    missing = [f"{page.name}: {link}" for page, link in sorted(links) if not (page.parent / link).exists()]
    assert not missing, f"These links lead nowhere: {missing}"
