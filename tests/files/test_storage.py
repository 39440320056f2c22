"""Remote pictures, lists and outputs, with an S3 server (moto) and a web server on the loopback address."""

from __future__ import annotations

import http.server
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posecli.errors import MissingExtra
from posecli.files import storage
from posecli.inputs.arguments import Inputs
from posecli.records.parts import read_parts

from ..conftest import Posecli, records_of
from ..inputs.test_clips import write_video
from ..tiny_model import draw_discs, person_at


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server_module = pytest.importorskip("moto.server")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with two folders: five pictures, one of them damaged, a text file and a hidden picture."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    store.mkdir("photos")
    for number, key in enumerate(["a/10.png", "a/9.png", "a/b/1.png", "c/2.PNG"]):
        draw_discs([person_at(60 + 20 * number, 80)]).save(tmp_path / "one.png")
        store.pipe_file(f"photos/{key}", (tmp_path / "one.png").read_bytes())
    store.pipe_file("photos/a/bad.png", b"damaged")
    store.pipe_file("photos/a/notes.txt", b"hello")
    store.pipe_file("photos/a/.hidden.png", b"x")
    yield "s3://photos"
    store.rm("photos", recursive=True)


def images(output: bytes) -> list[str]:
    return [record.image for record in records_of(output)]


def test_remote_paths_are_recognised_by_their_scheme() -> None:
    assert storage.is_remote("s3://bucket/key")
    assert storage.is_remote("HTTPS://example.org/a.jpg")
    assert not any(map(storage.is_remote, ["/a/b", "a:b", "c:/windows", "c://windows", "./s3/", "", "-"]))
    assert storage.without_scheme("s3://../key") == "key"


def test_keys_with_special_parts_give_distinct_names() -> None:
    keys = ["a/x", "a//x", "a///x", "a/./x", "a/../x", "x", "/x", "a/.../x", "a/.x/x"]
    names = [storage.without_scheme(f"s3://bucket/{key}") for key in keys]
    assert len(set(names)) == len(keys)
    assert names[:5] == [
        "bucket/a/x", "bucket/a/%2F/x", "bucket/a/%2F/%2F/x", "bucket/a/%2E/x", "bucket/a/%2E%2E/x",
    ]  # fmt: skip


def test_keys_with_special_parts_are_listed(bucket: str) -> None:
    import boto3

    store = boto3.client("s3")
    keys = [
        "d/",
        "d/1.png",
        "d//1.png",
        "d//c/3.png",
        "d/./4.png",
        "d/../1.png",
        "d//.h/5.png",
        "d/.h/6.png",
        "d//7.txt",
    ]
    for key in keys:
        store.put_object(Bucket="photos", Key=key, Body=key.encode())
    inputs = Inputs([f"{bucket}/d/"])
    found = {image.name: image.output for image in inputs}
    assert found == {
        f"{bucket}/d/1.png": "1.png", f"{bucket}/d//1.png": "%2F/1.png", f"{bucket}/d//c/3.png": "%2F/c/3.png",
        f"{bucket}/d/./4.png": "%2E/4.png", f"{bucket}/d/../1.png": "%2E%2E/1.png",
    }  # fmt: skip
    assert [storage.read_bytes(name).decode() for name in found] == [name.removeprefix(f"{bucket}/") for name in found]
    assert inputs.passed_over.total == 2


def test_folders_patterns_and_keys_are_inputs(bucket: str, posecli: Posecli) -> None:
    result = posecli("estimate", f"{bucket}/")
    assert result.returncode == 1
    found = [f"{bucket}/{key}" for key in ("a/9.png", "a/10.png", "a/bad.png", "a/b/1.png", "c/2.PNG")]
    assert images(result.stdout) == found
    assert images(posecli("estimate", f"{bucket}/a/*.png").stdout) == [found[0], found[1], found[2]]
    assert images(posecli("estimate", found[4]).stdout) == [found[4]]


def test_each_missing_key_gives_one_error_record(bucket: str, posecli: Posecli) -> None:
    result = posecli("estimate", f"{bucket}/a/9.png", f"{bucket}/none.png", "s3://nobucket/a.png")
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    codes = [record.error.code if record.error else "ok" for record in records_of(result.stdout)]
    assert codes == ["ok", "not_found", "not_found"]


def test_lists_are_read_and_outputs_are_written(bucket: str, posecli: Posecli) -> None:
    keys = [f"{bucket}/a/9.png", f"{bucket}/c/2.PNG"]
    storage.write_bytes(f"{bucket}/list.txt", "\n".join(keys).encode())
    listed = ("estimate", "--files-from", f"{bucket}/list.txt")
    assert posecli(*listed, "-o", f"{bucket}/out/", "-a", f"{bucket}/drawn/").returncode == 0
    record = json.loads(storage.read_bytes(f"{bucket}/out/photos/a/9.png.json"))
    assert (record["image"], record["status"]) == (keys[0], "ok")
    assert storage.read_bytes(f"{bucket}/drawn/photos/c/2.PNG.png").startswith(b"\x89PNG")
    assert posecli(*listed, "-o", f"{bucket}/out/").returncode == 2
    again = posecli(*listed, "-o", f"{bucket}/out/", "--resume")
    assert b"0 ok + 0 failed + 2 skipped" in again.stderr
    assert posecli(*listed, "-o", f"{bucket}/all.csv").returncode == 0
    assert storage.read_bytes(f"{bucket}/all.csv").count(b"\n") == 1 + 2 * 17
    assert posecli(*listed, "-o", f"{bucket}/all.csv").returncode == 2
    assert posecli(*listed, "-o", f"{bucket}/all.csv", "--resume").returncode == 2


def test_shards_are_written_resumed_and_read(bucket: str, posecli: Posecli) -> None:
    run = ("estimate", f"{bucket}/a/", "-o", f"{bucket}/parts/", "--shards", "--shard-size", "3")
    assert posecli(*run).returncode == 1
    assert posecli(*run).returncode == 2
    storage.write_bytes(f"{bucket}/a/bad.png", storage.read_bytes(f"{bucket}/a/9.png"))
    again = posecli(*run, "--resume")
    assert (again.returncode, b"1 ok + 0 failed + 3 skipped" in again.stderr) == (0, True), again.stderr
    assert len(list(read_parts(f"{bucket}/parts/"))) == 4
    assert len(list(storage.names_in(f"{bucket}/parts/"))) == 2
    assert len(posecli("convert", f"{bucket}/parts/", "-f", "csv").stdout.splitlines()) == 1 + 4 * 17


class _UnreliableHandler(http.server.BaseHTTPRequestHandler):
    """Answers the first two requests with 503, then with the picture; `secret` always with 403, `none` with 404."""

    request_count = 0
    picture = b""

    def do_GET(self) -> None:
        type(self).request_count += 1
        is_busy = self.request_count < 3
        status = 403 if "secret" in self.path else 404 if "none" in self.path else 503 if is_busy else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(self.picture)))
        self.end_headers()
        self.wfile.write(self.picture)

    do_HEAD = do_GET  # noqa: N815 (the name that http.server requires)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    draw_discs([person_at(80, 80)]).save(tmp_path / "one.png")
    _UnreliableHandler.request_count, _UnreliableHandler.picture = 0, (tmp_path / "one.png").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _UnreliableHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_transient_failures_are_retried(web: str, posecli: Posecli) -> None:
    result = posecli("estimate", f"{web}/a.png?size=large")
    assert result.returncode == 0, result.stderr
    assert len(records_of(result.stdout)[0].poses) == 1
    assert _UnreliableHandler.request_count >= 3


def test_permanent_failures_are_not_retried(web: str, posecli: Posecli) -> None:
    _UnreliableHandler.request_count = 3
    result = posecli("estimate", f"{web}/secret.png", f"{web}/none.png")
    codes = [record.error.code if record.error else "ok" for record in records_of(result.stdout)]
    assert codes == ["permission_denied", "not_found"]
    assert _UnreliableHandler.request_count == 5


def test_a_missing_extra_is_an_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingExtra) as caught:
        storage.read_bytes("s3://bucket/key")
    assert caught.value.hint == "pip install fsspec s3fs gcsfs aiohttp"


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("https://h/a.jpg", "fsspec"),
        ("https://h/a.jpg", "aiohttp"),
        ("s3://b/a.jpg", "s3fs"),
        ("gs://b/*.jpg", "gcsfs"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--files-from"]])
def test_an_input_without_its_package_is_one_error_before_the_model_is_searched(
    name: str, package: str, option: list[str], posecli: Posecli, without: Callable[..., dict[str, str]]
) -> None:
    """fsspec may be installed as a dependency of another package, without the package of a store."""
    result = posecli("estimate", "local.jpg", *option, name, model=Path("/no/such/model"), env=without(package))
    assert result.returncode == 4
    assert result.stderr.decode().splitlines() == [
        f"posecli: error: {name} needs {package}, which is not installed",
        "posecli: hint: pip install fsspec s3fs gcsfs aiohttp",
    ]


def test_a_remote_video_is_an_error_that_says_what_to_do(web: str, tmp_path: Path, posecli: Posecli) -> None:
    """Videos and animations need a file that supports seeking."""
    write_video(tmp_path / "clip.mp4", 3)
    _UnreliableHandler.request_count, _UnreliableHandler.picture = 3, (tmp_path / "clip.mp4").read_bytes()
    result = posecli("estimate", f"{web}/clip.mp4")
    (record,) = records_of(result.stdout)
    assert record.error is not None
    assert record.error.code == "unsupported_image"
    assert record.error.message == (
        f"{web}/clip.mp4 is a video, but it is read as one picture here "
        "(save it as a local file for posecli estimate, or use PoseEstimator.estimate_clip)"
    )
