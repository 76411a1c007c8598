"""A pytest plugin: stops where the package under test is not the copy it is meant to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_sessionstart(session: pytest.Session) -> None:
    import batchllm

    home = Path(os.environ["MUTANT_HOME"])
    if not Path(batchllm.__file__).is_relative_to(home):
        pytest.exit(f"{batchllm.__file__} is not below {home}", returncode=3)
