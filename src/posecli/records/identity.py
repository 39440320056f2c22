"""The model and settings of a run. Records with another model or other settings are not mixed with its records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.files.storage import name_bytes
from posecli.types import Record, Settings


class RunIdentity(NamedTuple):
    """The model and the settings of a run."""

    model_sha256: str
    settings: Settings

    def digest(self, *more: str) -> str:
        """A digest of the identity, and of more values that must be equal, for file names."""
        return digest([self.model_sha256, json.dumps(self.settings.to_dict(), sort_keys=True), *more])

    def check(self, record: Record, path: str) -> None:
        """Raise UsageError if a finished record has another model or other settings."""
        if record.model is not None and record.model.sha256 != self.model_sha256:
            self._refuse(path, f"the model {record.model.name} ({record.model.sha256[:12]}…)")
        ours = self.settings.to_dict()
        theirs = dict(record.settings or {})
        for name in sorted(ours.keys() | theirs.keys()):
            if record.settings is not None and ours.get(name) != theirs.get(name):
                self._refuse(path, f"{name.replace('_', '-')} {theirs.get(name)}, not {ours.get(name)}")

    def _refuse(self, path: str, difference: str) -> None:
        raise UsageError(f"cannot resume {path}: it was made with {difference}", "--overwrite starts again")


def digest(texts: Iterable[str]) -> str:
    """A hash of texts: eight hexadecimal digits."""
    state = hashlib.blake2b(digest_size=4)
    for text in texts:
        state.update(name_bytes(text) + b"\0")
    return state.hexdigest()
