"""Requests in, records out. The local pool first; a new engine is a module here and a line in this table."""

ENGINES = {
    "local": "batchllm.engines.local:pool",
    "ray": "batchllm.engines.ray_pool:pool",
    "batch": "batchllm.engines.batch_lane.lane:lane",
    "auto": "batchllm.engines.batch_lane.auto:lanes",
}
"""Name and factory of each: a callable that takes `engine.Means`. Loaded when chosen."""

CHECKS = {"ray": "batchllm.engines.ray_pool:ready"}
"""What says, before anything is touched, that an engine cannot work: a callable that takes `Settings` and raises `JobError` (2)."""
