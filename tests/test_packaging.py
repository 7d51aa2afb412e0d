"""What is installed is locked by hash, and what is fetched for the pages is whole and unaltered."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import assets

ROOT = assets.ROOT
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DECLARED = tomllib.loads((ROOT / "assets.toml").read_text("utf-8"))
TEMPLATES = sorted((ROOT / "portal" / "templates").rglob("*.html"))
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["local"]]
GROUPS = PROJECT["dependency-groups"]


def read_lock(name: str) -> dict[str, tuple[Version, list[str]]]:
    """Map each distribution of a lock to its version and its hashes."""
    locked: dict[str, tuple[Version, list[str]]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / name).read_text("utf-8").replace("\\\n", " ")):
        if entry.startswith("#") or not entry.strip():
            continue
        requirement, *hashes = re.split(r"\s+--hash=", entry.strip())
        pin = Requirement(requirement)
        (specifier,) = pin.specifier
        locked[canonicalize_name(pin.name)] = (Version(specifier.version), hashes)
    return locked


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_distribution_has_its_hashes(lock: str) -> None:
    locked = read_lock(lock)
    assert locked
    for name, (_, hashes) in locked.items():
        assert hashes, f"{name} has no hash in {lock}: write it with `make lock`."
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), name


@pytest.mark.parametrize("lock", [*LOCKS, "package-lock.json", ".npmrc"])
def test_no_lock_says_where_from_to_download(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    found = re.findall(r".*(?:://|--index-url|--find-links|resolved\").*", text)
    assert not found, f"{lock} names an address; the machine that installs decides where from:\n{found}"


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        ("requirements.lock", RUNTIME),
        ("requirements-dev.lock", [*RUNTIME, *GROUPS["dev"]]),
        ("requirements-build.lock", GROUPS["build"]),
    ],
)
def test_the_lock_holds_what_the_project_declares(lock: str, declared: list[str]) -> None:
    locked = read_lock(lock)
    for text in declared:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{text} is not in {lock}: run `make lock`."
        assert locked[name][0] in requirement.specifier, f"{lock} does not fit {text}: run `make lock`."


def test_tests_run_with_the_versions_that_run_in_production() -> None:
    tested = read_lock("requirements-dev.lock")
    for name, (version, _) in read_lock("requirements.lock").items():
        assert tested[name][0] == version, f"{name} differs: run `make lock`."


def test_a_wheel_is_built_with_the_locked_tools() -> None:
    assert PROJECT["build-system"]["requires"] == GROUPS["build"]


def test_production_does_not_carry_the_emulator() -> None:
    assert not any(text.startswith("ministack") for text in PROJECT["project"]["dependencies"])
    assert PROJECT["project"]["optional-dependencies"]["local"] == ["ministack==1.5.33"]


def test_every_npm_package_is_locked_by_its_hash() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_bytes())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name


@pytest.fixture
def made_assets(tmp_path: Path) -> Path:
    """A folder with the inputs of this checkout and a vendor folder that was made from them."""
    for name in assets.INPUTS:
        shutil.copy(ROOT / name, tmp_path / name)
    vendor = tmp_path / assets.VENDOR
    (vendor / "licenses").mkdir(parents=True)
    for name in ("htmx.min.js", "licenses/htmx.txt"):
        (vendor / name).write_text(name)
    (vendor / assets.MANIFEST).write_text(json.dumps(assets.describe(tmp_path, vendor)))
    assert assets.is_current(tmp_path)
    return tmp_path


def test_an_altered_vendor_file_is_made_anew(made_assets: Path) -> None:
    with (made_assets / assets.VENDOR / "htmx.min.js").open("a") as file:
        file.write("\n")
    assert not assets.is_current(made_assets)


def test_a_missing_vendor_file_is_made_anew(made_assets: Path) -> None:
    (made_assets / assets.VENDOR / "licenses" / "htmx.txt").unlink()
    assert not assets.is_current(made_assets)


def test_a_foreign_file_in_the_vendor_folder_is_thrown_out(made_assets: Path) -> None:
    (made_assets / assets.VENDOR / "foreign.js").write_text("")
    assert not assets.is_current(made_assets)


def test_a_vendor_folder_without_a_manifest_is_made_anew(made_assets: Path) -> None:
    (made_assets / assets.VENDOR / assets.MANIFEST).unlink()
    assert not assets.is_current(made_assets)


@pytest.mark.parametrize("name", assets.INPUTS)
def test_a_changed_input_makes_the_vendor_files_anew(made_assets: Path, name: str) -> None:
    with (made_assets / name).open("a") as file:
        file.write(" ")
    assert not assets.is_current(made_assets)


def test_a_sprite_has_one_symbol_for_each_icon(tmp_path: Path) -> None:
    for name in ("plus", "minus"):
        (tmp_path / f"{name}.svg").write_text(
            '<!-- a > b -->\n<svg width="24">\n  <path d="M1 1" />\n</svg>\n'
        )
    sprite = assets.build_sprite(tmp_path, ["plus", "minus", "plus"])
    assert re.findall(r'<symbol id="(\w+)" viewBox="0 0 24 24"><path d="M1 1" /></symbol>', sprite) == [
        "minus",
        "plus",
    ]


def test_an_icon_that_the_set_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(assets.MissingFileError, match="no icon named unheard-of"):
        assets.build_sprite(tmp_path, ["unheard-of"])


def test_every_vendor_file_that_a_page_names_is_fetched() -> None:
    fetched = {*DECLARED["files"], assets.SPRITE}
    for path in TEMPLATES:
        for name in re.findall(r"""["']vendor/([^"']+)["']""", path.read_text("utf-8")):
            assert name in fetched, f"{path.name} uses vendor/{name}: declare it in assets.toml."


def test_every_icon_that_a_page_names_is_fetched() -> None:
    for path in TEMPLATES:
        for name in re.findall(r'icon\("([^"]+)"', path.read_text("utf-8")):
            assert name in DECLARED["icons"], f"{path.name} uses the icon {name}: declare it in assets.toml."


def make_venv(bin_folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", ROOT / ".ci" / "make-venv", target],
        env={"PATH": str(bin_folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_machine_without_a_fitting_python_is_told_so_in_one_line(tmp_path: Path) -> None:
    write_program(tmp_path / "python3", "exit 1")
    answer = make_venv(tmp_path, tmp_path / "venv")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.splitlines() == [
        "Waybill needs Python 3.11, 3.12 or 3.13 on PATH (or: make run PYTHON=/path/to/python3)."
    ]


def test_a_python_without_its_venv_module_is_told_so_in_one_line(tmp_path: Path) -> None:
    write_program(tmp_path / "python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    answer = make_venv(tmp_path, tmp_path / "venv")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.splitlines() == [
        "Waybill: python3 lacks its venv module (on Debian and Ubuntu: apt-get install python3-venv)."
    ]


def test_make_alone_lists_every_target_that_is_meant_for_people() -> None:
    answer = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^  make (\S+)", answer.stdout, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert (
        listed == targets >= {"run", "test", "check", "lint", "types", "templates", "assets", "bench-orders"}
    )
