"""Print the lower bounds of pyproject.toml as pip constraints: the oldest releases that the package is to run with.

Only what the package itself needs, its extras `lite0` and `onnx` included; tools of development may be new.
"""

import re
from pathlib import Path

import tomllib

# Releases after these warn about what the oldest matplotlib and scikit-learn do, and warnings are errors in the tests.
COMPANIONS = ("pyparsing<3.3", "pytest<9", "scipy<1.16")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
for requirement in [*project["dependencies"], *extras["lite0"], *extras["onnx"]]:
    print(re.sub(">=", "==", requirement))
print("\n".join(COMPANIONS))
