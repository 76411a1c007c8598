"""The ways to speak to a Batch API, by name; loaded when chosen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import cast

from batchllm.engines.batch_lane.remote import BatchApi
from batchllm.providers.batch_services import Service
from batchllm.route import Route
from batchllm.settings import Settings

MakesApi = Callable[[Service, Route, Settings], AbstractAsyncContextManager[BatchApi]]

APIS = {
    "openai": "batchllm.engines.batch_lane.remote:OpenAIBatches",
    "mistral": "batchllm.engines.batch_lane.mistral:MistralBatches",
}


def api_for(service: Service, route: Route, settings: Settings) -> AbstractAsyncContextManager[BatchApi]:
    """The API of a service; entering it opens nothing, leaving it closes the connections."""
    module, _, name = APIS[service.api].partition(":")
    return cast("AbstractAsyncContextManager[BatchApi]", getattr(import_module(module), name)(route, settings))
