"""Requests in, records out. The local pool first; a new engine is a module here and a line in this table."""

ENGINES = {"local": "batchllm.engines.local:LocalPool"}
