import os
import shutil
import subprocess
import sys
from pathlib import Path

import vtok
from conftest import PICTURES, ROOT

PACKAGE = Path(vtok.__file__).parent


def test_it_is_the_wheel():
    assert "site-packages" in str(PACKAGE)
    assert {"vtok", "swift"} <= {path.name for path in (PACKAGE / "licences").iterdir()}
    assert (PACKAGE / "py.typed").exists()


def test_the_library_lies_anywhere(tmp_path):
    """All that it needs is found beside it: nothing of this machine's Swift, and no way there."""
    shutil.copytree(PACKAGE / "lib", tmp_path / "moved")
    library = tmp_path / "moved/libvtok.so.1"
    text = subprocess.run(["ldd", library], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    assert "not found" not in text.stdout
    beside = {path.name for path in (tmp_path / "moved").iterdir()}
    for line in text.stdout.splitlines():
        name, _, target = line.strip().partition(" => ")
        if name in beside:
            assert Path(target.split(" ")[0]).resolve().parent == (tmp_path / "moved").resolve(), line
    assert any(name.startswith("libswiftCore") for name in beside)
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    assert "[$ORIGIN]" in dynamic and "SONAME" in dynamic
    done = subprocess.run(
        [sys.executable, "-c", f"import vtok; print(vtok.Pipeline()({str(PICTURES / 'cat.jpg')!r}).tokens.shape)"],
        env={"VTOK_LIBRARY": str(library), "PATH": os.environ["PATH"]}, capture_output=True, text=True,
    )
    assert done.stdout == "(256, 192)\n", done.stderr


def test_a_program_in_c(tmp_path):
    program = tmp_path / "tokens"
    subprocess.run(
        [
            "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers",
            ROOT / "Examples/C/tokens.c", "-I", vtok.get_include(),
            "-L", PACKAGE / "lib", "-l:libvtok.so.1", f"-Wl,-rpath,{PACKAGE / 'lib'}", "-o", program,
        ],
        check=True,
    )
    paths = [str(PICTURES / name) for name in ("cat.jpg", "ship.jpg")]
    done = subprocess.run([program, "divprune", "0.25", *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pipeline = vtok.Pipeline(method="divprune", keep_ratio=0.25)
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        result = pipeline(path)
        patches = " ".join(str(patch) for patch in result.keep[:8])
        count, width = result.tokens.shape
        assert line == f"{path}: {count} tokens of {width} numbers, the first {result.tokens[0, 0]:.9g}; patches {patches}"
    wrong = subprocess.run([program, "tomee", "0.25", *paths], capture_output=True, text=True)
    assert wrong.returncode == 2 and "did you mean 'tome'?" in wrong.stderr


def test_the_header_is_plain_c_and_cpp(tmp_path):
    for compiler, standard, ending in (("cc", "c99", "c"), ("c++", "c++11", "cpp")):
        source = tmp_path / f"header.{ending}"
        source.write_text("#include <vtok.h>\nint main(void) { vtok_options o = VTOK_OPTIONS; return o.size == 0; }\n")
        command = [compiler, f"-std={standard}", "-pedantic", "-Wall", "-Werror", "-Wno-missing-field-initializers"]
        subprocess.run([*command, "-fsyntax-only", "-I", vtok.get_include(), source], check=True)
