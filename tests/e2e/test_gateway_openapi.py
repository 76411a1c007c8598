"""The gateway keeps to its own description: generated requests, good and bad ones, get only what `/openapi.json` promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from batchllm.gateway.openapi import description
from batchllm.gateway_settings import Gateway
from tests.e2e.gateways import ALICE, House, house, job, submit
from tests.faultserver import echo, run_in_thread

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance, unsupported_method,
]  # fmt: skip
DESCRIPTION = schemathesis.openapi.from_dict(description(Gateway()))
OPERATIONS = {operation.ok().label: operation.ok() for operation in DESCRIPTION.get_all_operations()}
EXAMPLES, MANY = 3, 100


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with run_in_thread(echo) as server, house(tmp_path_factory.mktemp("described"), server.base_url) as one:
        one.ended(submit(one.client(), job("there is something to find")).id)
        yield one


def _hold_to_it(label: str, mode: GenerationMode, known: House, examples: int) -> None:
    operation = OPERATIONS[label]

    @settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def hold(case: Any) -> None:
        base_url = known.base_url.removesuffix("/v1")
        case.call_and_validate(base_url=base_url, headers={"Authorization": f"Bearer {ALICE}"}, checks=CHECKS)

    hold()


@pytest.mark.parametrize("label", OPERATIONS)
def test_a_request_that_fits_the_description_gets_what_it_promises(label: str, known: House) -> None:
    _hold_to_it(label, GenerationMode.POSITIVE, known, EXAMPLES)


MODES = [
    (label, mode)
    for label in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or (label.partition(" ")[2].startswith("/v1/") and label != "GET /v1/models")
]
"""What takes neither a parameter nor a body cannot be asked wrongly."""


@pytest.mark.sweep
@pytest.mark.parametrize(("label", "mode"), MODES)
def test_no_request_at_all_breaks_the_promise(label: str, mode: GenerationMode, known: House) -> None:
    _hold_to_it(label, mode, known, MANY)


def test_the_document_is_served_without_a_token(known: House) -> None:
    reply = httpx.get(known.base_url.removesuffix("/v1") + "/openapi.json")
    assert reply.json() == description(Gateway(port=0, data=str(known.folder / "gateway")))
