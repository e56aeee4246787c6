"""PlatformIO development platform without packages: the system's toolchain, and SCons from pip where it is there.

PlatformIO fetches one package from its registry for every build, "tool-scons". Where the SCons it wants is installed
by pip in PlatformIO's own interpreter, a small "tool-scons" package is written in its place, so that a build needs no
network; elsewhere the registry is asked as usual. PlatformIO looks for the package after it has configured the
platform, which is why this works from here.
"""

import importlib.metadata
import json
import os
import shutil

import semantic_version
from platformio.dependencies import get_core_dependencies
from platformio.exception import UserSideException
from platformio.package.manager.core import get_core_package_dir
from platformio.platform.base import PlatformBase

SCONS_PY = """\
import sys

try:
    import SCons.Script
except ImportError:
    sys.exit(
        "SCons {version} is gone from this Python; pip install scons=={version}, "
        "or delete {path} to let PlatformIO fetch its own"
    )
SCons.Script.main()
"""


def scons_package_version():
    """Version of pip's SCons, and the same as PlatformIO's registry writes it (4.11.1 -> 4.41101.0); None if absent."""
    try:
        version = importlib.metadata.version("scons")
    except importlib.metadata.PackageNotFoundError:
        return None, None
    major, minor, patch = (int(part) for part in [*version.split("."), "0", "0"][:3])
    return version, f"{major}.{major}{minor:02}{patch:02}.0"


def write_whole(path, text):
    """The file appears complete or not at all."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf8") as file:
        file.write(text)
    os.replace(temporary, path)


def provide_scons(packages_dir):
    """Writes the package where pip's SCons is of the wanted version and PlatformIO has none yet."""
    if get_core_package_dir("tool-scons", auto_install=False):
        return
    version, package_version = scons_package_version()
    wanted = semantic_version.SimpleSpec(get_core_dependencies()["tool-scons"])
    if version is None or semantic_version.Version(package_version) not in wanted:
        return
    path = os.path.join(packages_dir, "tool-scons")
    os.makedirs(path, exist_ok=True)
    manifest = {"name": "tool-scons", "version": package_version, "description": f"pip's scons {version}"}
    # PlatformIO takes the folder for its own package only where this record names it as the owner
    spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
    record = {"type": "tool", "name": "tool-scons", "version": package_version, "spec": spec}
    write_whole(os.path.join(path, "scons.py"), SCONS_PY.format(version=version, path=path))
    write_whole(os.path.join(path, "package.json"), json.dumps(manifest))
    write_whole(os.path.join(path, ".piopm"), json.dumps(record))


class OfabaremetalPlatform(PlatformBase):
    def configure_default_packages(self, options, targets):
        if not shutil.which("arm-none-eabi-gcc"):
            raise UserSideException(
                "arm-none-eabi-gcc is not on PATH (Debian: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi)"
            )
        provide_scons(self.config.get("platformio", "packages_dir"))
        return super().configure_default_packages(options, targets)

    def is_embedded(self):
        return True  # the base class says so only of platforms with an uploader package
