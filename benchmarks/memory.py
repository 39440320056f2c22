#!/usr/bin/env python3
"""Peak memory of `posecli estimate` with all its workers, by number of pictures.

    python benchmarks/memory.py PICTURE [--counts 100 1000 10000]

The sum of the proportional set sizes of the process and its children, sampled every 50 ms (Linux).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def tree_memory(root: int) -> int:
    """The sum of the proportional set sizes of a process and its children, KiB."""
    parents, total = {}, 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    for pid in [root, *(pid for pid, parent in parents.items() if parent == root)]:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def peak(picture: Path, count: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:06d}{picture.suffix}").symlink_to(picture)
        command = [sys.executable, "-m", "posecli", "estimate", str(folder), "-o", f"{name}/x.jsonl", "-q"]
        process, highest = subprocess.Popen(command), 0
        while process.poll() is None:
            highest = max(highest, tree_memory(process.pid))
            time.sleep(0.05)
    return highest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=lambda text: Path(text).resolve())
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10000])
    args = parser.parse_args()
    for count in args.counts:
        print(f"{count:>7} pictures: {peak(args.picture, count) / 1024:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
