"""Reading a schema from a file the settings name: `FILE.json`, or `FILE.py:Model`.

A Python file is imported, which runs its code: only settings and the command line may name one, never a job
line. Beside the model it may hold a rule that JSON Schema cannot say, a top-level function

    def validate(invoice: Invoice) -> str | None

which raises `ValueError` or returns a message where an answer is wrong. It applies to the model it is
annotated with (and its subclasses), or to every model if it is not annotated.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
import traceback
import typing
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from batchllm import strictjson
from batchllm.errors import ExitCode, JobError
from batchllm.validation.documents import from_json_schema
from batchllm.validation.models import Rule, from_model
from batchllm.validation.schema import Schema, describe

if TYPE_CHECKING:
    from pydantic import BaseModel

_SAYS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "anyOf", "oneOf", "allOf",
     "not", "if", "$ref", "$dynamicRef", "pattern", "minimum", "maximum", "minLength", "maxLength", "patternProperties", "contains"}
)  # fmt: skip
"""Keywords of JSON Schema (2020-12) that hold an answer to something."""


def load_schema(spec: str, base_dir: Path) -> Schema:
    """The schema `spec` names, its path read from `base_dir`. Raises `JobError` (usage), in one sentence."""
    file, colon, name = spec.rpartition(":")
    if colon and file.endswith(".py"):
        return _load_model(base_dir / file, name)
    path = base_dir / spec
    if path.suffix == ".py":
        _refuse(f"The schema {spec} does not say which model of the file it means: write {spec}:Model.")
    try:
        return from_json_schema(_unwrapped(strictjson.loads(_read(path))), path.stem)
    except ValueError as error:
        raise JobError(ExitCode.USAGE, f"The schema file {path} cannot be used: {error}.") from error


def _unwrapped(document: Any) -> Any:
    """The schema of a file, also where it stands in the envelope that requests carry it in.

    Raises `ValueError` for an object that says nothing a schema says: it would let every answer pass.
    """
    if not isinstance(document, dict):
        return document
    inner = document.get("json_schema") if document.get("type") == "json_schema" else document
    if isinstance(inner, dict) and isinstance(inner.get("schema"), dict) and isinstance(inner.get("name"), str):
        return inner["schema"]
    if document and _SAYS.isdisjoint(document):
        raise ValueError(
            f"it says nothing of what an answer has to be (no 'type', 'properties' or the like); '{min(document)}' is unknown"
        )
    return document


def _refuse(message: str) -> NoReturn:
    raise JobError(ExitCode.USAGE, message)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JobError(ExitCode.USAGE, f"The schema file {path} cannot be read: {reason}.") from error


def _load_model(path: Path, name: str) -> Schema:
    module = _import(path)
    model = _model(module, path, name)
    try:
        return from_model(model, _rule(module, model))
    except (ValueError, NameError, TypeError) as error:
        raise JobError(ExitCode.USAGE, f"The schema {path}:{name} cannot be used: {error}.") from error


def _import(path: Path) -> ModuleType:
    """The file as a module of a name of its own. Meanwhile its folder is importable, for files beside it."""
    source = _read(path)
    unique = f"batchllm_schema_{hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        _refuse(f"The schema file {path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[unique] = module  # pydantic looks up annotations there, also later
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[unique]
        raise JobError(ExitCode.USAGE, _import_failure(path, error)) from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module


def _import_failure(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        where = f"{error.filename or path} has a syntax error in line {error.lineno}"
        return f"The schema file {where}: {error.msg}."
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    where = f" in line {lines[-1]}" if lines else ""
    return f"The schema file {path} failed to import{where}: {describe(error)}."


def _model(module: ModuleType, path: Path, name: str) -> type[BaseModel]:
    from pydantic import BaseModel

    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, BaseModel) and found is not BaseModel:
        return found
    if found is not None:
        _refuse(f"{name} in {path} is no pydantic model.")
    models = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
    ]
    near = difflib.get_close_matches(name, models, n=1, cutoff=0.4)
    hint = f"the nearest is {near[0]}" if near else f"it has {', '.join(models) or 'none'}"
    _refuse(f"The schema file {path} has no model {name!r}: {hint}.")


def _rule(module: ModuleType, model: type[BaseModel]) -> Rule | None:
    """The file's own `validate`, unless it was imported there or is annotated with another model."""
    function = getattr(module, "validate", None)
    if not isinstance(function, FunctionType) or function.__module__ != module.__name__:
        return None
    hints = {key: hint for key, hint in typing.get_type_hints(function).items() if key != "return"}
    annotation = next(iter(hints.values()), None)
    if isinstance(annotation, type) and not issubclass(model, annotation):
        return None
    return function
