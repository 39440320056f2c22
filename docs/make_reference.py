"""Generates docs/python-reference.md, the reference of the public names of posecli, from the docstrings.

python docs/make_reference.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import posecli

PAGE = Path(__file__).with_name("python-reference.md")
#: The public names in the order of the page → their public members.
MEMBERS: dict[str, tuple[str, ...]] = {
    "PoseEstimator": ("estimate", "estimate_clip"),
    "draw": (),
    "frames": (),
    "ClipFrame": (),
    "Record": ("ok", "to_dict", "from_dict", "to_dataframe"),
    "Pose": (),
    "Keypoint": (),
    "PosecliError": (),
    "UsageError": (),
    "InputError": (),
}
_INTRODUCTION = """# Python reference

The public names of `import posecli`. [Python](python.md) has examples. `KEYPOINT_NAMES` are the
17 parts of a pose in the order of their ids, and `__version__` is the version. All positions are pixels of the upright
picture: x to the right, y down, from its top left corner.

`docs/make_reference.py` generates this page from the docstrings.
"""
_ARGUMENT = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): ", re.MULTILINE)
_LONGEST_LINE = 100


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_INTRODUCTION, *(section for name in MEMBERS for section in _sections(name))])


def _sections(name: str) -> Iterator[str]:
    """The sections of a public name and of its members."""
    value = getattr(posecli, name)
    yield f"## {name}\n\n{_described(name, value)}"
    for member in MEMBERS[name]:
        found = inspect.getattr_static(value, member)
        if isinstance(found, classmethod):
            found = found.__func__
        yield f"### {name}.{member}\n\n{_described(f'{name}.{member}', found)}"


def _described(name: str, value: object) -> str:
    """The signature or the fields, then the docstring with its arguments as a list."""
    text = inspect.getdoc(value) or ""
    first, _, rest = text.partition("\n\n")
    parts = [*_code(name, value), _listed(first), *([_listed(rest)] if rest else [])]
    return "\n\n".join(parts) + "\n"


def _code(name: str, value: object) -> Iterator[str]:
    if isinstance(value, property) or (isinstance(value, type) and issubclass(value, Exception)):
        return
    if isinstance(value, type) and (fields := _fields(value)):
        lines = [f"class {name}:", *(f"    {field}" for field in fields)]
    else:
        assert callable(value)
        lines = _signature(name, value)
    yield "```python\n" + "\n".join(lines) + "\n```"


def _fields(kind: type) -> list[str]:
    """The fields of a named tuple or data class; empty for other classes."""
    if not hasattr(kind, "_fields") and not hasattr(kind, "__dataclass_fields__"):
        return []
    return [f"{name}: {_text_of(annotation)}" for name, annotation in kind.__annotations__.items()]


def _signature(name: str, value: Callable[..., object]) -> list[str]:
    signature = inspect.signature(value.__init__ if isinstance(value, type) else value)
    parameters, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parameters.append("*")
            starred = True
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parameters.append(f"{parameter.name}: {_text_of(parameter.annotation)}{default}")
    end = "" if isinstance(value, type) else f" -> {_text_of(signature.return_annotation)}"
    line = f"{name}({', '.join(parameters)}){end}"
    if len(line) <= _LONGEST_LINE:
        return [line]
    return [f"{name}(", *(f"    {parameter}," for parameter in parameters), f"){end}"]


def _text_of(annotation: object) -> str:
    """The source text of an annotation. NamedTuple turns annotations into forward references."""
    return str(getattr(annotation, "__forward_arg__", annotation))


def _listed(text: str) -> str:
    """Turn lines that describe arguments into list items, with an empty line before and after the list."""
    marked = _ARGUMENT.sub(lambda match: f"- `{match[1]}`: ", text)
    lines = re.sub(r"^    (?=\S)", "  ", marked, flags=re.MULTILINE).split("\n")
    separated: list[str] = []
    for line in lines:
        is_item = line.startswith(("- ", "  "))
        if separated and separated[-1] and is_item != separated[-1].startswith(("- ", "  ")):
            separated.append("")
        separated.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(separated))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
