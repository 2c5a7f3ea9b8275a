"""What a script needs and how to get it, said in one line before anything is done. Needs nothing but Python itself."""
import argparse
import importlib.util
import os
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.path.join(HERE, "..", "..", "shared", "data")


def refuse(line):
    print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr)
    sys.exit(2)


def packages(*names):
    """Ends the script unless Python has these; names are those of imports."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        install = [{"PIL": "Pillow"}.get(name, name) for name in missing]
        refuse(f"needs Python packages from PyPI: python3 -m pip install {' '.join(install)}")


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message):
        refuse(f"{message}; {' '.join(self.format_usage().split())}")


def values(form, least):
    """The arguments of a script that has no options, at least so many; `form` names them."""
    if len(sys.argv) <= least:
        refuse(f"usage: {os.path.basename(sys.argv[0])} {form}")
    return sys.argv[1:]


def easy_vqa(folder=None):
    """Reads files of easy-VQA by name, for example test/questions.json: from an archive or a folder, else from the PyPI
    package, if it is installed; None without."""
    package = importlib.util.find_spec("easy_vqa")
    places = [folder] if folder else [os.path.join(SHARED, "easy-vqa")]
    if not folder and package:
        places += [os.path.join(place, "data") for place in package.submodule_search_locations]
    for place in places:
        archive = os.path.join(place, "easy-vqa.tar.gz")
        if os.path.exists(archive):
            opened = tarfile.open(archive)
            files = {os.path.normpath(member.name): member for member in opened if member.isfile()}
            return lambda name: opened.extractfile(files[name]).read()
        if os.path.exists(os.path.join(place, "test", "questions.json")):
            return lambda name: open(os.path.join(place, name), "rb").read()
    return None


def needs_easy_vqa(folder=None):
    read = easy_vqa(folder)
    if read is None:
        refuse("needs easy-VQA: python3 -m pip install easy-vqa, or --data with the folder easy_vqa/data of "
               "github.com/vzhou842/easy-VQA" + (f"; '{folder}' has no test/questions.json" if folder else ""))
    return read
