"""Every row of the fault catalogue is in the id of a test, or is left out with a reason."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rows_left_out import LEFT_OUT, ROWS

HERE = Path(__file__).parent
SUITES = (
    "contract/test_transports.py",
    "contract/test_table_sinks.py",
    "unit/test_watchdog.py",
    "unit/report/test_inert.py",
    *(f"e2e/test_{name}.py" for name in ("cuts", "faults_http", "inputs", "security", "storage_rows")),
)
ROW = re.compile(r"(?<![a-z0-9])([hpqisx][0-9]{1,2})(?![a-z0-9])")


@pytest.fixture(scope="module")
def named() -> set[str]:
    """Rows that stand in the ids of the tests that are there, sweeps left out."""
    command = [sys.executable, "-m", "pytest", "--collect-only", *(str(HERE / suite) for suite in SUITES)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent).stdout
    ids = [line.partition("::")[2].lower().replace("_", " ") for line in listed.splitlines() if "::" in line]
    return {row.upper() for one in ids for row in ROW.findall(one)}


def test_no_row_is_missing(named: set[str]) -> None:
    assert set(ROWS) - named - set(LEFT_OUT) == set()


def test_no_row_is_left_out_that_has_a_test(named: set[str]) -> None:
    assert named & set(LEFT_OUT) == set()


def test_every_row_left_out_is_one_and_has_its_reason() -> None:
    assert set(LEFT_OUT) <= set(ROWS)
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())
