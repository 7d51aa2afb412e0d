"""Put the third-party files of the pages into a wheel, or beside an editable install."""

import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class AssetsHook(BuildHookInterface):
    """Run `assets.py`, the one way in which the vendor folder is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the vendor folder before the files of the wheel are collected."""
        if self.target_name == "wheel":
            subprocess.run([sys.executable, "assets.py"], cwd=self.root, check=True)
