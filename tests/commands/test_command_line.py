"""`posecli estimate` as a process: output, exit status and messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from posecli.commands import _COMMANDS as COMMANDS
from posecli.records.journal import read_records

from ..conftest import Posecli, records_of
from ..tiny_model import draw_discs, person_at


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two readable pictures (one with two people, one without people) and a damaged one."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    draw_discs([person_at(62.3, 41.7), person_at(187.6, 101.2)]).save(folder / "two.png")
    Image.new("RGB", (300, 200), (128, 128, 128)).save(folder / "sub" / "nobody.png")
    (folder / "bad.png").write_bytes(b"not a picture")
    return folder


def test_one_picture_gives_one_json_object(posecli: Posecli, pictures: Path) -> None:
    result = posecli("estimate", pictures / "two.png")
    (record,) = records_of(result.stdout)
    assert (result.returncode, len(record.poses), record.image) == (0, 2, str(pictures / "two.png"))
    assert result.stderr.startswith(b"posecli: 1 picture = 1 ok + 0 failed + 0 skipped; 2 people in 1 picture;")
    schema = json.loads(posecli("schema").stdout)
    jsonschema.validate(json.loads(result.stdout), schema)


def test_a_folder_gives_one_line_per_picture_and_names_failures(posecli: Posecli, pictures: Path) -> None:
    result = posecli("estimate", pictures)
    records = records_of(result.stdout)
    assert {(Path(r.image).name, r.status, len(r.poses)) for r in records} == {
        ("bad.png", "error", 0), ("two.png", "ok", 2), ("nobody.png", "ok", 0),
    }  # fmt: skip
    assert result.returncode == 1
    assert b"bad.png is not a picture" in result.stderr
    assert b"3 pictures = 2 ok + 1 failed + 0 skipped; 2 people in 1 picture;" in result.stderr


def test_quiet_prints_only_failures(posecli: Posecli, pictures: Path) -> None:
    assert posecli("estimate", pictures / "two.png", "-q").stderr == b""
    assert b"1 failed" in posecli("estimate", pictures, "-q").stderr


def test_a_picture_is_read_from_standard_input(posecli: Posecli, pictures: Path) -> None:
    result = posecli("estimate", "-", input=(pictures / "two.png").read_bytes())
    assert [(r.image, len(r.poses)) for r in records_of(result.stdout)] == [("stdin", 2)]


def test_a_json_file_and_an_annotated_picture_are_not_replaced_without_overwrite(
    posecli: Posecli, pictures: Path, tmp_path: Path
) -> None:
    out, drawn = tmp_path / "new" / "out.json", tmp_path / "drawn.png"
    args = ("estimate", pictures / "two.png", "-o", out, "-a", drawn, "--draw", "scores", "--background", "none")
    result = posecli(*args)
    assert (result.returncode, result.stdout) == (0, b"")
    assert [len(record["poses"]) for record in json.loads(out.read_text())] == [2]
    with Image.open(drawn) as picture:
        assert (picture.size, picture.mode) == ((257, 257), "RGBA")
    again = posecli(*args)
    assert (again.returncode, b"already exists" in again.stderr) == (2, True)
    assert posecli(*args, "--overwrite").returncode == 0


def test_parquet_is_written_to_file_folder_and_standard_output(
    posecli: Posecli, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    expected = records_of(posecli("estimate", pictures).stdout)
    assert posecli("estimate", pictures, "-o", tmp_path / "x.parquet").returncode == 1
    result = posecli("estimate", pictures, "-f", "parquet")
    (tmp_path / "stdout").write_bytes(result.stdout)
    for name in ("x.parquet", "stdout"):
        assert {record.key: record for record in read_records(str(tmp_path / name))} == {
            record.key: record for record in expected
        }
    assert posecli("estimate", pictures, "-f", "parquet", "-o", f"{tmp_path}/out/").returncode == 1
    for record in expected:
        path = tmp_path / "out" / f"{Path(record.image).relative_to(pictures)}.parquet"
        assert list(read_records(str(path))) == [record]


@pytest.mark.parametrize("options", ["-o x.parquet", "-f parquet", "-f parquet -o out/", "-f parquet -o out/ --shards"])
def test_a_missing_package_is_one_error_before_the_model_is_loaded(
    options: str, posecli: Posecli, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "pyarrow.py").write_text("raise ModuleNotFoundError('no', name='pyarrow')")
    environment = {"PYTHONPATH": str(tmp_path / "none")}
    result = posecli(
        "estimate", pictures, *options.split(), model=Path("/no/such/model"), env=environment, cwd=tmp_path
    )
    assert (result.returncode, result.stdout) == (4, b"")
    assert result.stderr.startswith(b"posecli: error: this needs pyarrow, which is not installed\nposecli: hint: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "none"]


def test_output_folders_mirror_the_input_tree_and_keep_full_names(
    posecli: Posecli, pictures: Path, tmp_path: Path
) -> None:
    result = posecli(
        "estimate", pictures, "-o", f"{tmp_path}/out/", "-a", f"{tmp_path}/drawn", "--picture-format", "webp"
    )
    assert result.returncode == 1
    found = {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and "in/" not in str(path)
    }
    assert found == {
        "out/two.png.json", "out/bad.png.json", "out/sub/nobody.png.json", "drawn/two.png.webp",
        "drawn/sub/nobody.png.webp",
    }  # fmt: skip
    assert json.loads((tmp_path / "out/two.png.json").read_text())["status"] == "ok"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), b"no picture to read"),
        (("EMPTY",), b"no picture to read"),
        (("x.png", "--stride", "7"), b"--stride"),
        (("x.png", "--input-size", "258"), b"nearest are 257 and 289"),
        (("x.png", "--wrong"), b"--wrong"),
        (("x.png", "-o", "out.xyz"), b"is not that of a format"),
        (("x.png", "y.png", "-a", "one.png"), b"there may be several inputs"),
        (("x.png", "--max-poses", "0"), b"max_poses"),
        (("x.png", "--person", "tallest"), b"largest, center, best"),
        (("x.png", "--person", "-1"), b"or an index from 0"),
        (("x.png", "--person", "1", "--decoder", "single"), b"no person 1"),
        (("x.png", "--region", "1,2,3"), b"is not X,Y,WIDTH,HEIGHT"),
        (("x.png", "--region", "0,0,0,5"), b"is empty"),
        (("x.png", "--region", "100%,0,5,5"), b"outside of every picture"),
    ],
)
def test_wrong_usage_is_explained(args: tuple[str, ...], message: bytes, posecli: Posecli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = posecli("estimate", *(str(tmp_path / "empty") if a == "EMPTY" else a for a in args), cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, b"")
    assert message in result.stderr


def test_a_region_outside_of_a_picture_fails_that_picture(posecli: Posecli, tmp_path: Path) -> None:
    """Records contain the region, and --resume compares it."""
    draw_discs([person_at(200, 80)], (321, 257)).save(tmp_path / "large.png")
    draw_discs([person_at(60, 80)], (129, 257)).save(tmp_path / "small.png")
    result = posecli("estimate", "large.png", "small.png", "--region", "150,0,50%,100%", "-o", "x.jsonl", cwd=tmp_path)
    assert result.returncode == 1
    assert b"small.png has 129 x 257 pixels, and the region 150,0,50%,100% lies outside of them" in result.stderr
    large, small = read_records(str(tmp_path / "x.jsonl"))
    assert (large.width, large.height, len(large.poses)) == (321, 257, 1)
    assert large.settings is not None
    assert large.settings["region"] == "150,0,50%,100%"
    assert small.error is not None
    assert small.error.code == "unsupported_image"
    result = posecli("estimate", "large.png", "-o", "x.jsonl", "--region", "150,0,50%,90%", "--resume", cwd=tmp_path)
    assert result.returncode == 2
    assert b"it was made with region 150,0,50%,100%, not 150,0,50%,90%" in result.stderr


def test_person_keeps_one_person_by_index(posecli: Posecli, pictures: Path) -> None:
    both = records_of(posecli("estimate", pictures / "two.png").stdout)[0].poses
    for person in (0, 1):
        (record,) = records_of(posecli("estimate", pictures / "two.png", "--person", str(person)).stdout)
        assert record.poses == (both[person],)
        assert record.settings is not None
        assert record.settings["person"] == person
    assert records_of(posecli("estimate", pictures / "two.png", "--person", "2").stdout)[0].poses == ()


def test_exit_status_of_require_pose_and_fail_fast(posecli: Posecli, pictures: Path) -> None:
    assert posecli("estimate", pictures / "sub", "--require-pose").returncode == 3
    assert posecli("estimate", pictures / "two.png", "--require-pose").returncode == 0
    result = posecli("estimate", pictures, "--fail-fast")
    assert result.returncode == 1
    assert len(records_of(result.stdout)) == 1


def test_an_unusable_model_is_fatal(posecli: Posecli, pictures: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"no model")
    result = posecli("estimate", pictures / "two.png", "--model", bad)
    assert (result.returncode, result.stdout) == (4, b"")
    assert result.stderr.decode().startswith(
        f"posecli: error: cannot use the model {bad}: it is not a TensorFlow Lite file"
    )
    assert result.stderr.count(b"\n") == 1


def test_an_output_that_cannot_be_written_is_fatal(posecli: Posecli, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = posecli("estimate", pictures / "two.png", "-o", tmp_path / "file" / "x.json")
    assert result.returncode == 4
    assert b"cannot write" in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_fatal(posecli: Posecli, pictures: Path) -> None:
    result = posecli("estimate", pictures / "two.png", "-o", "/dev/full", "-f", "jsonl", "--overwrite")
    assert result.returncode == 4
    assert b"No space left" in result.stderr


def test_a_closed_pipe_ends_quietly(pictures: Path, tiny_model: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for index in range(40):
        os.link(pictures / "two.png", many / f"{index}.png")
    command = f"'{sys.executable}' -m posecli estimate '{many}' | head -1"
    result = subprocess.run(
        command, shell=True, capture_output=True, env={**os.environ, "POSECLI_MODEL": str(tiny_model)}, timeout=60,
        check=True,
    )  # fmt: skip
    assert len(result.stdout.splitlines()) == 1
    assert b"Traceback" not in result.stderr
    assert b"Broken" not in result.stderr


def test_options_can_be_environment_variables(posecli: Posecli, pictures: Path) -> None:
    result = posecli("estimate", pictures / "two.png", env={"POSECLI_ESTIMATE_MAX_POSES": "1"})
    assert [len(record.poses) for record in records_of(result.stdout)] == [1]


def test_a_picture_that_hangs_times_out(posecli: Posecli, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    result = posecli("estimate", pipe, "--timeout", "0.5")
    (record,) = records_of(result.stdout)
    assert record.error is not None
    assert (record.error.code, result.returncode) == ("timed_out", 1)


def test_unusual_file_names_are_kept_in_records_and_escaped_in_messages(
    posecli: Posecli, pictures: Path, tmp_path: Path
) -> None:
    odd = [b"new\nline.png", b"-dash.png", "ünïcode 人.png".encode(), b"bytes\xff.png", b"\x1b[31mred.png"]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_bytes(b"bad")
    result = posecli("estimate", "--files-from", "-", "-0", cwd=tmp_path, input=b"\0".join(odd))
    assert [os.fsencode(record.image) for record in records_of(result.stdout)] == odd
    assert b"\x1b" not in result.stderr
    assert len(result.stderr.splitlines()) == len(odd) + 1


def test_the_real_model_finds_people(posecli: Posecli, real_model: Path, test_data: Path) -> None:
    picture = test_data / "images" / "people" / "pexels-luis-quintero-1510540.jpg"
    result = posecli("estimate", picture, model=real_model)
    (record,) = records_of(result.stdout)
    assert (record.width, record.height) == (1280, 1280)
    nose = np.array([record.poses[0].keypoints[0].x, record.poses[0].keypoints[0].y])
    assert ((nose > 0) & (nose < 1280)).all()
    assert b"XNNPACK" not in result.stderr


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "schema"])
def test_the_help_of_every_command_has_two_examples(command: str, posecli: Posecli) -> None:
    text = posecli(command, "--help").stdout.decode()
    examples = text.split("Examples:")[1].split("\n\n")[0]
    assert sum(line.strip().startswith(("posecli", "find")) for line in examples.splitlines()) >= 2


def test_shells_complete_options(posecli: Posecli) -> None:
    for shell in ("bash", "zsh", "fish"):
        result = posecli(env={"_POSECLI_COMPLETE": f"{shell}_source"})
        assert b"_POSECLI_COMPLETE" in result.stdout, result.stderr
    words = {"COMP_WORDS": "posecli estimate --pre", "COMP_CWORD": "2", "_POSECLI_COMPLETE": "bash_complete"}
    assert b"--preset" in posecli(env=words).stdout
