"""What every test may ask for: where the test data lies, which model there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("POSECLI_TEST_DATA") or ROOT.parent / "shared")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Pictures, models and fixtures that are not part of the repository. In CI they must be there."""
    if not (DATA / "fixtures").is_dir():
        message = f"no test data in {DATA}: set POSECLI_TEST_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA
