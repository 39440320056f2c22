"""Writes the table of formats in docs/formats.md, from the formats themselves.

python docs/make_formats.py
"""

from __future__ import annotations

import re
from pathlib import Path

from posecli.records.formats import FORMAT_NAMES, get_format

PAGE = Path(__file__).with_name("formats.md")
_TABLE = re.compile("(<!-- formats -->\n).*?(<!-- end of formats -->)", re.DOTALL)


def page() -> str:
    """The page with its present text and a new table."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{_table()}\n\n{match[2]}", PAGE.read_text("utf-8"))


def _table() -> str:
    rows = [
        "| format | contents | file name for `a/x.jpg` in a folder | read by `convert` |",
        "| --- | --- | --- | --- |",
    ]
    for name in FORMAT_NAMES:
        found = get_format(name)
        file = "–" if found.one_clip else f"`a/x.jpg{found.image_suffix}`"
        is_read = "yes" if found.read is not None or name == "coco-annotations" else "no"
        rows.append(f"| `{name}` | {found.summary} | {file} | {is_read} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
