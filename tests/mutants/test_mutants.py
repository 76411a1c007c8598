"""The tests notice known mistakes: each is put into a copy of the package, and one of its tests must fail."""

from __future__ import annotations

import pytest

from tests.mutants.table import MUTANTS
from tests.mutants.trial import PASSED, attempt, package, run

NAMED = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))


def test_there_are_as_many_as_were_agreed_on():
    names = {mutant.name for mutant in MUTANTS}
    assert len(names) == len(MUTANTS)
    assert len({name.partition(",")[0] for name in names}) == 22


@NAMED
def test_a_mistake_is_noticed(mutant):
    verdict = attempt(mutant)
    assert verdict.killed, verdict.why


def test_without_a_mistake_the_same_tests_pass():
    with package() as home:
        ended = run(sorted({test for mutant in MUTANTS for test in mutant.tests}), home)
    assert ended.returncode == PASSED, ended.stdout[-2000:] + ended.stderr[-2000:]
