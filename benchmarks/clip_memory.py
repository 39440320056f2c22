#!/usr/bin/env python3
"""Peak memory and frame rate of `posecli estimate` for a large clip: parent process, decoder and workers.

    python benchmarks/clip_memory.py PICTURE [--frames 300] [--src src OTHER/src] [--only NAME ...]

Creates a video of 1920 x 1080 and a GIF of 1000 x 1000 pixels that show the picture through a moving window. Each kind
of run is repeated with every source tree in direct succession, so that their rates can be compared. CPU time is less
affected by other programs. Memory is the proportional set size of each process, sampled every 20 ms (Linux).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
from PIL import Image

RUNS = {
    "plain": ("clip.mp4", []),
    "tracked": ("clip.mp4", ["--track"]),
    "tracked, balanced": ("clip.mp4", ["--track", "--preset", "balanced", "--to", "4"]),
    "drawn": ("clip.mp4", ["-a", "out.mp4"]),
    "gif": ("clip.gif", []),
    "gif, drawn": ("clip.gif", ["-a", "out.gif"]),
}
ROLES = ("lead", "decoder", "workers")


def make_clips(picture: Path, folder: Path, frames: int) -> None:
    """Write the clips. The picture is 1.5 times as large as a frame and is seen through a moving window."""
    large = Image.open(picture).convert("RGB").resize((2880, 1620))
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(frames):
            left, top = 3 * number % 960, number % 540
            window = large.crop((left, top, left + 1920, top + 1080))
            container.mux(stream.encode(av.VideoFrame.from_image(window)))
        container.mux(stream.encode(None))
    square = large.resize((1500, 1000))
    pages = [square.crop((n % 500, 0, n % 500 + 1000, 1000)).quantize(64) for n in range(frames * 2 // 3)]
    pages[0].save(folder / "clip.gif", save_all=True, append_images=pages[1:], duration=40, optimize=False)


def family(root: int, decoder: list[int]) -> dict[str, list[int]]:
    """The processes of a run by role. decoder: the first child of the parent process; empty until it is started."""
    children = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                helper = b"resource_tracker" in (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == root and not helper:
                children.append(int(entry.name))
    if not decoder:
        decoder += sorted(children)[:1]
    workers = [child for child in children if child not in decoder]
    return {"lead": [root], "decoder": decoder, "workers": workers}


def memory(process: int) -> int:
    """The proportional set size of a process, KiB."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def cpu_seconds() -> float:
    """CPU time of all finished child processes and their children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(clip: str, options: list[str], folder: Path, source: str) -> tuple[dict[str, int], float, float]:
    """Peak memory by role and in total (KiB), elapsed seconds, CPU seconds."""
    command = [sys.executable, "-m", "posecli", "estimate", clip, "-o", "out.jsonl", "--overwrite", "-q", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(source).resolve())}
    begin, before = time.perf_counter(), cpu_seconds()
    process, highest = subprocess.Popen(command, cwd=folder, env=environment), dict.fromkeys((*ROLES, "all"), 0)
    decoder: list[int] = []
    while process.poll() is None:
        found = {role: sum(map(memory, members)) for role, members in family(process.pid, decoder).items()}
        for role, size in (*found.items(), ("all", sum(found.values()))):
            highest[role] = max(highest[role], size)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return highest, time.perf_counter() - begin, cpu_seconds() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--src", nargs="+", default=[str(Path(__file__).resolve().parent.parent / "src")])
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make_clips(args.picture, Path(name), args.frames)
        for run in args.only:
            clip, options = RUNS[run]
            for source in args.src * args.repeat:
                highest, seconds, work = measure(clip, options, Path(name), source)
                sizes = ", ".join(f"{role} {size / 1024:.0f}" for role, size in highest.items())
                lines = sum(1 for _ in (Path(name) / "out.jsonl").open())
                rate = f"{lines / seconds:.1f} frames/s, {1000 * work / lines:.0f} ms of CPU time per frame"
                print(f"{run:18} {source:24} MiB: {sizes}; {rate}", flush=True)


if __name__ == "__main__":
    main()
