"""What is heavy is imported where it is needed, and not before."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.children import environment

SCRIPT = """
import contextlib, io, json, sys
heavy = ("torch", "lightning", "pandas", "jsonargparse", "xarray", "scipy", "sklearn", "yaml")
def loaded(): return [name for name in heavy if name in sys.modules]
found = {}
import fieldcast
found["import fieldcast"] = loaded()
fieldcast.__version__, dir(fieldcast), fieldcast.FieldcastError
found["names"] = loaded()
from fieldcast.cli.__main__ import main
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    codes = [main(["--help"]), main([]), main(["--version"]), main(["trian"])]
    found["help"] = loaded()
    codes += [main(["data", "--help"]) or 0, main(["data", "describ"])]
    found["data"] = [name for name in loaded() if name in ("torch", "lightning")]
    for words in (["models", "--help"], ["demo", "--help"]):
        try: main(words)
        except SystemExit as stop: codes.append(stop.code)
    found["help of a command"] = [name for name in loaded() if name in ("torch", "lightning")]
found["codes"] = codes
try: fieldcast.nothing
except AttributeError as error: found["unknown"] = str(error)
fieldcast.TrainingOptions
found["lightning after TrainingOptions"] = "lightning" in sys.modules
fieldcast.create, fieldcast.Windows, fieldcast.load, fieldcast.evaluate
found["lightning after create"] = "lightning" in sys.modules
print(json.dumps(found))
"""


def test_imports_of_a_fresh_process() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["import fieldcast"] == found["names"] == found["help"] == []
    assert found["data"] == found["help of a command"] == [], "help needs no torch"
    assert found["codes"] == [0, 0, 0, 2, 0, 2, 0, 0]
    assert found["unknown"] == "module 'fieldcast' has no attribute 'nothing'"
    assert not found["lightning after TrainingOptions"] and not found["lightning after create"]
