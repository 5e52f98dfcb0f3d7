"""The build hook that compiles the core (compile_core.py), for who asks for it: `HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 pip install .`

Without that variable hatchling never runs it, and the wheel is pure Python. An editable install is always pure: what one edits has to
be what runs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledCore(BuildHookInterface):  # type: ignore[type-arg]  # the configuration of the builder is of no interest here
    """Adds the compiled modules to a wheel, beside their source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile in a folder of our own: nothing compiled must be left among the sources, where it would be taken for them."""
        self.folder = TemporaryDirectory()
        if version == "editable":
            return
        folder = Path(self.folder.name)
        subprocess.run([sys.executable, str(Path(self.root) / ".compile" / "compile_core.py"), str(folder)], check=True)
        libraries = [path for path in folder.rglob("*") if path.suffix in {".so", ".pyd"}]
        build_data["force_include"].update({str(path): path.relative_to(folder).as_posix() for path in libraries})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - as hatchling calls it
        """The wheel is written."""
        self.folder.cleanup()
