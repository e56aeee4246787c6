"""Where TFLite Micro comes from: a source tree that becomes a library of the project, or PlatformIO's registry."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu.codegen.tflm_api import TflmApi, read_api
from ofa_mcu.errors import UsageError

__all__ = ["LIBRARY_FOLDER", "TflmLibrary", "tflm_library"]

LIBRARY_FOLDER = "tflm"
"""Below the project's lib/."""

_INCLUDES = (
    ".",
    "third_party",
    "third_party/flatbuffers/include",
    "third_party/gemmlowp",
    "third_party/ruy",
    "third_party/kissfft",
    "third_party/cmsis",
    "third_party/cmsis/CMSIS/Core/Include",
    "third_party/cmsis/CMSIS/DSP/Include",
    "third_party/cmsis/CMSIS/NN/Include",
    "third_party/cmsis_nn",
    "third_party/cmsis_nn/Include",
)
"""Folders of a tree that sources name headers from; those that are there are used."""

_NOT_INI = re.compile(r"(?:^|\s)[#;]|\$\{")
"""What begins a comment or a reference in a value; an address may have a # inside."""

_PARTS = ("tensorflow", "third_party", "signal")
_CMSIS_KERNELS = "tensorflow/lite/micro/kernels/cmsis_nn"
_DEFINES = ("TF_LITE_STATIC_MEMORY", "TF_LITE_STRIP_ERROR_STRINGS", "NDEBUG")
_SOURCES = (
    "+<tensorflow/*>",
    "-<tensorflow/lite/experimental/>",
    "-<tensorflow/lite/micro/*test*>",
    "-<tensorflow/lite/micro/testing/>",
    "-<tensorflow/lite/micro/examples/>",
    "+<third_party/cmsis_nn/Source/>",
    "+<third_party/cmsis/CMSIS/NN/Source/>",
)


@dataclass(frozen=True)
class TflmLibrary:
    """TFLite Micro for a project: the root of a source tree, or the `name` of a package for lib_deps.

    `cmsis_nn` says whether the tree's kernels are those of CMSIS-NN; what a package holds is not known.
    """

    api: TflmApi
    tree: Path | None = None
    name: str | None = None
    cmsis_nn: bool = False

    @property
    def kernels(self) -> str:
        """Whose kernels it has, as the firmware tells: `cmsis_nn`, `reference`, or `unknown`."""
        return "unknown" if self.tree is None else "cmsis_nn" if self.cmsis_nn else "reference"

    def settings(self) -> str:
        """Lines of platformio.ini for one environment: flags for all sources, and the package."""
        if self.tree is None:
            return f"lib_deps =\n    {self.name}\n"
        defines = (*_DEFINES, "CMSIS_NN") if self.cmsis_nn else _DEFINES
        flags = [f"-D{name}" for name in defines]
        root = f"lib/{LIBRARY_FOLDER}"
        flags += [
            f"-isystem{root}/{folder}".removesuffix("/.") for folder in _INCLUDES if (self.tree / folder).is_dir()
        ]
        return "\n".join(["build_flags =", *(f"    {flag}" for flag in flags), f"lib_deps =\n    {LIBRARY_FOLDER}\n"])

    def copy_to(self, libraries: Path) -> None:
        """Write the tree as a PlatformIO library into the project's lib/; nothing for a package."""
        if self.tree is None:
            return
        folder = libraries / LIBRARY_FOLDER
        for part in _PARTS:
            if (self.tree / part).is_dir():
                shutil.copytree(self.tree / part, folder / part)
        build = {"srcDir": ".", "includeDir": ".", "srcFilter": list(_SOURCES), "flags": ["-w"]}
        manifest = {"name": LIBRARY_FOLDER, "version": "0.0.0", "frameworks": "*", "platforms": "*", "build": build}
        (folder / "library.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def tflm_library(path: Path | None, name: str | None) -> TflmLibrary:
    """The library from --tflm-path or --tflm-lib.

    Raises:
        UsageError: none or both were given, or the folder holds no TFLM source tree.
    """
    if (path is None) == (name is None):
        raise UsageError(
            "--runtime tflm needs either --tflm-path DIR (what TFLM's create_tflm_tree.py wrote) or --tflm-lib NAME "
            "(a package of PlatformIO's registry)"
        )
    if path is None:
        if not name or not name.strip():
            raise UsageError("--tflm-lib is no package's name; write it as in PlatformIO's lib_deps")
        odd = _NOT_INI.search(name)
        if odd or not name.isprintable():
            what = repr(odd[0].strip()) if odd else "what is no visible character"
            raise UsageError(f"--tflm-lib {name!r} holds {what}, which platformio.ini cannot; write the package's name")
        return TflmLibrary(TflmApi(), name=name)
    root = path.absolute()
    return TflmLibrary(read_api(root), root, cmsis_nn=(root / _CMSIS_KERNELS).is_dir())
