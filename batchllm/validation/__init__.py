"""Holding answers to schemas: find the JSON, check it, say what is wrong. Pure but for `load_schema`."""

from batchllm.validation.documents import from_json_schema, from_response_format, own_format
from batchllm.validation.extract import Found, find_json
from batchllm.validation.judgement import Judgement, complaint, instruction, judge
from batchllm.validation.loading import load_schema
from batchllm.validation.models import from_model
from batchllm.validation.schema import Problem, Schema
from batchllm.validation.timebox import TimeUp, time_limit

__all__ = [
    "Found",
    "Judgement",
    "Problem",
    "Schema",
    "TimeUp",
    "complaint",
    "find_json",
    "from_json_schema",
    "from_model",
    "from_response_format",
    "instruction",
    "judge",
    "load_schema",
    "own_format",
    "time_limit",
]
