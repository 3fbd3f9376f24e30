"""Run README's example and put its real output and its figure where README shows them.

`python notebooks/readme_example.py` from the top of the clone.
"""

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIGURE = ROOT / "notebooks" / "figures" / "shrinkage.png"
OUTPUT = re.compile(r"(<!-- output -->\n```text\n).*?(```\n)", re.DOTALL)


def main() -> None:
    """Execute the first Python block in a temporary folder."""
    text = README.read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), {})
        FIGURE.parent.mkdir(exist_ok=True)
        FIGURE.write_bytes((Path(folder) / "shrinkage.png").read_bytes())
        os.chdir(ROOT)
    output = printed.getvalue()
    README.write_text(OUTPUT.sub(lambda m: m[1] + output + m[2], text))


if __name__ == "__main__":
    main()
