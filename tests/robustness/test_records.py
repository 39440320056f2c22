"""Hostile records in every reader: valid ones are read unchanged, all others are a UsageError (exit 2)."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posecli.commands import cli
from posecli.errors import UsageError
from posecli.records.formats.base import parse_json, to_json
from posecli.records.identity import RunIdentity
from posecli.records.journal import RecordedLines, read_records
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, ModelInfo, Pose, Record, Settings

from ..test_types import make_record

SEED = 20
WRONG = ("x", "", True, None, [], {}, [[]], -1, 1.5, 2**70, float("nan"), float("inf"), 10**400)
NAMES = ("a.jpg", "ä/é.png", "b\udcff.jpg", "\U0001f938.webp", "line\nbreak", "=1+1", "-", "\\udcff")
DEEP = "[" * 100_000 + "]" * 100_000


def some_record(chance: random.Random) -> Record:
    """A valid record."""
    name, frame = chance.choice(NAMES), chance.choice((None, 0, 12, 2**40))
    time = None if frame is None else round(chance.uniform(0, 1e6), 6)
    if chance.random() < 0.2:
        return Record(name, "error", frame, time, error=Record.failed(name, "not_found", chance.choice(NAMES)).error)

    def pose() -> Pose:
        points = [
            Keypoint(i, part, chance.uniform(-1e4, 1e4), chance.uniform(-1e4, 1e4), chance.random())
            for i, part in enumerate(KEYPOINT_NAMES)
        ]
        found = Pose.from_keypoints(chance.random(), points)
        return found._replace(id=chance.choice((None, 1, 2**40))).rounded()

    model = ModelInfo(chance.choice(NAMES), "0" * 64, (257, 129), chance.choice((8, 16, 32)))
    settings = chance.choice((None, Settings().to_dict()))
    poses = tuple(pose() for _ in range(chance.randrange(3)))
    return Record(name, "ok", frame, time, chance.randrange(1, 10**6), 480, model, settings, poses)


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.parquet"])
def test_valid_records_are_read_unchanged(name: str, tmp_path: Path) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    chance = random.Random(SEED)
    records = [some_record(chance) for _ in range(200)]
    (tmp_path / "in.jsonl").write_bytes(b"".join(f"{to_json(record.to_dict())}\n".encode() for record in records))
    assert list(read_records(str(tmp_path / "in.jsonl"))) == records
    assert status("convert", tmp_path / "in.jsonl", "-o", tmp_path / name, "-q", "--overwrite") in (0, 1)
    assert list(read_records(str(tmp_path / name))) == records


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside another. Only the first and the last keypoint are included."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if path[-1:] != ("keypoints",) or key in (0, 16):
            yield from places(inner, (*path, key))


def changed(data: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy with a change at one path."""
    data = copy.deepcopy(data)
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return data


def changed_lines() -> Iterator[str]:
    """Records with a field of another type, or without it. Few of them are valid."""
    for record in (make_record("a.jpg"), Record.failed("a.jpg", "not_found", "x")):
        data = record.to_dict()
        for path in places(data):
            for wrong in WRONG:
                yield json.dumps(changed(data, path, lambda holder, key, wrong=wrong: holder.__setitem__(key, wrong)))
            yield json.dumps(changed(data, path, lambda holder, key: holder.__delitem__(key)))


def broken_lines() -> list[str]:
    """Lines that are not records: invalid names, invalid numbers, other JSON, no JSON."""
    data = make_record("a.jpg").to_dict()
    whole = json.dumps(data)
    point = ("poses", 0, "keypoints", 3)
    wrong = [
        (("image",), 1), (("image",), "a\0.jpg"), (("image",), "\ud800"), (("status",), "maybe"), (("status",), []),
        (("width",), 0), (("height",), True), (("frame",), -1), (("time",), float("nan")), (("schema",), "posecli/2"),
        (("model",), None), (("model", "sha256"), "x"), (("model", "input"), [1]), (("model", "stride"), 7),
        (("settings",), 1), (("settings", "fit"), float("inf")), (("poses",), {}), (("poses", 0), None),
        (("poses", 0, "id"), 0), (("poses", 0, "score"), float("nan")), (("poses", 0, "score"), 1.1),
        (("poses", 0, "box"), [1, 2, 3]), (("poses", 0, "keypoints"), []), (point, 5), ((*point, "x"), float("inf")),
        ((*point, "y"), 10**400), ((*point, "y"), 1e300), ((*point, "part"), "tail"), ((*point, "id"), 3.0),
    ]  # fmt: skip
    lines = [json.dumps(changed(data, path, lambda holder, key, w=w: holder.__setitem__(key, w))) for path, w in wrong]
    other = ["nonsense", "1", "null", "[[]]", '"x"', "{}", whole[:-1], whole + whole, "\x00", '{"a":' * 9000]
    return [*lines, whole.replace("0.75", "1e999"), whole.replace('"a.jpg"', DEEP), DEEP, *other]


def status(*arguments: object) -> int:
    """Run a command in this process; return its exit status. Any exception but a UsageError fails the test."""
    try:
        cli.main([str(argument) for argument in arguments], prog_name="posecli", standalone_mode=False)
    except SystemExit as end:
        return int(end.code or 0)
    except UsageError:
        return 2
    return 0


def test_the_error_of_an_invalid_record_names_file_line_and_reason(tmp_path: Path) -> None:
    path, good = tmp_path / "r.jsonl", json.dumps(make_record("good.jpg").to_dict())
    for text in broken_lines():
        path.write_text(f"{good}\n{text}\n", errors="surrogatepass")
        with pytest.raises(UsageError) as told:
            list(read_records(str(path)))
        assert str(told.value).startswith(f"{path} does not hold posecli records: line 2: "), text[:200]
        with pytest.raises(UsageError, match=r"r\.jsonl does not hold posecli records: line 2: "):
            RecordedLines(str(path), RunIdentity("0" * 64, Settings()))


def test_records_that_are_read_can_be_written() -> None:
    read = [parsed(text) for text in changed_lines()]
    for record in read:
        assert record is None or parsed(to_json(record.to_dict(raw=True))) == rounded(record)
    assert 50 < sum(record is not None for record in read) < 0.25 * len(read)


def parsed(text: str) -> Record | None:
    try:
        return Record.from_dict(parse_json(text.encode()))
    except ValueError:
        return None


def rounded(record: Record) -> Record:
    time = None if record.time is None else round(record.time, 6)
    return replace(record, time=time, poses=tuple(pose.rounded() for pose in record.poses))


def commands(records: Path, folder: Path) -> list[list[object]]:
    good = folder / "good.jsonl"
    return [
        ["convert", records, "-o", folder / "x.csv", "-q"],
        ["convert", records, "-o", f"{folder}/x/", "-q"],
        ["compare", good, records],
        ["compare", records, good],
        ["measure", records, "-f", "json"],
        ["report", records, "-o", folder / "x.html"],
        ["evaluate", folder / "truth.json", records],
    ]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("name", ["r.jsonl", "r.json"])
def test_every_command_refuses_invalid_records(number: int, name: str, tmp_path: Path) -> None:
    if number == 5:
        pytest.importorskip("jinja2")
    if number == 6:
        pytest.importorskip("pycocotools")
    (tmp_path / "good.jsonl").write_text(json.dumps(make_record("a.jpg").to_dict()) + "\n")
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 1, 2] * 17, "num_keypoints": 17, "area": 9.0,
        "bbox": [0, 0, 3, 3], "iscrowd": 0,
    }  # fmt: skip
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [person],
        "categories": [{"id": 1, "keypoints": list(KEYPOINT_NAMES)}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    before = sorted(tmp_path.iterdir())
    for line in broken_lines():
        records = tmp_path / name
        records.write_text(f"[\n{line}\n]\n" if name == "r.json" else line + "\n", errors="surrogatepass")
        assert status(*commands(records, tmp_path)[number]) == 2, line[:200]
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / name])


@pytest.mark.parametrize("wrong", [float("nan"), "x", [], 2**70, 1.5])
@pytest.mark.parametrize("field", ["image_id", "score", "keypoints"])
def test_coco_results_are_checked(field: str, wrong: object, tmp_path: Path) -> None:
    from posecli.checks.evaluate import read_results

    entry = {"image_id": 1, "category_id": 1, "keypoints": [1, 1, 1] * 17, "score": 0.5}
    if field == "score" and wrong == 1.5:
        wrong = None
    path = tmp_path / "results.json"
    path.write_text(json.dumps([entry, {**entry, field: wrong}]))
    with pytest.raises(UsageError, match=r"results\.json does not hold"):
        read_results(str(path), {"a.jpg": 1})
    path.write_text(json.dumps([entry]))
    assert read_results(str(path), {"a.jpg": 1}).people == [entry]


@pytest.mark.parametrize(
    "content", [b"my notes, without an end of line", b'{"schema": "other/1", "x', b"[1, 2", b"\0x"]
)
def test_resume_does_not_change_foreign_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="does not hold posecli records"):
        RecordedLines(str(path), RunIdentity("0" * 64, Settings()))
    assert path.read_bytes() == content


@pytest.mark.parametrize("torn", [b'{"sch', b'{"schema": "posecli/1", "image": "b', b"\0\0\0\0", b'{"schema"\0\0', b""])
def test_resume_drops_a_torn_last_line(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    whole = (json.dumps(make_record("a.jpg").to_dict()) + "\n").encode()
    path.write_bytes(whole + torn)
    RecordedLines(str(path), RunIdentity("0" * 64, Settings())).cut_torn_line()
    assert path.read_bytes() == whole
