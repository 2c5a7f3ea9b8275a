"""Puts libvtok.so into the package and says in the wheel's name for which C library it is."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

here = Path(__file__).resolve().parent
root = here.parent


def version() -> str:
    text = (root / "Sources/VTokEval/Provenance.swift").read_text()
    return re.search(r'vtokVersion = "(.*)"', text).group(1)


def library() -> Path:
    """The folder that `make library` made; made here if nobody said where it is."""
    given = os.environ.get("VTOK_FOLDER")
    if given:
        return Path(given)
    subprocess.run(["make", "-C", str(root), "library"], check=True)
    return root / ".build/library-release"


class Build(build_py):
    def run(self) -> None:
        super().run()
        package, made = Path(self.build_lib) / "vtok", library()
        for part in ("lib", "include", "licences"):
            shutil.rmtree(package / part, ignore_errors=True)
            (package / part).mkdir(parents=True)
            for file in sorted((made / part).iterdir()):
                if not file.is_symlink():
                    shutil.copy2(file, package / part / file.name)
        shutil.copy2(root / "LICENSE", package / "licences" / "vtok")


class Wheel(bdist_wheel):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple:
        """Any Python 3; the newest version of the C library that a file inside asks for."""
        asked = {(2, 17)}
        for file in Path(self.bdist_dir).glob("vtok/lib/*"):
            found = re.findall(rb"GLIBC_(\d+)\.(\d+)", file.read_bytes())
            asked.update((int(major), int(minor)) for major, minor in found)
        major, minor = max(asked)
        return "py3", "none", f"manylinux_{major}_{minor}_{os.uname().machine}"


class Binary(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(version=version(), distclass=Binary, cmdclass={"build_py": Build, "bdist_wheel": Wheel})
