"""Who may come in: tokens, of which only hashes are kept, and what each tenant may take up."""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batchllm.errors import ExitCode, JobError
from batchllm.gateway_settings import Gateway
from batchllm.journal.storage import Storage, write_whole

OPEN_TENANT = "local"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may have at once: bytes in files, batches and lines that are not finished."""

    file_bytes: int
    batches: int
    lines: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody with files and batches of their own."""

    name: str
    quota: Quota


@dataclass(frozen=True, slots=True)
class Tenants:
    """Tenants by the hash of their tokens. With `open_to` everybody who reaches the gateway is that tenant."""

    by_hash: Mapping[str, Tenant] = field(default_factory=dict)
    open_to: Tenant | None = None

    def of(self, header: str | None) -> Tenant | None:
        """Whose `Authorization` header this is; None for nobody's.

        A hash is looked up, so how long it takes says nothing of the tokens.
        """
        if self.open_to is not None:
            return self.open_to
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        return self.by_hash.get(hashed(token.strip()))


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sha256: list[str] = Field(min_length=1)
    file_bytes: int | None = Field(None, ge=0)
    batches: int | None = Field(None, ge=0)
    lines: int | None = Field(None, ge=0)


def hashed(token: str) -> str:
    """Tokens are 256 random bits: a plain hash of one cannot be turned round by trying."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read_tenants(path: Path, limits: Gateway) -> Tenants:
    """A file of tokens: a table for each tenant with `sha256 = [...]` and, if wanted, quotas of its own.

    Raises `JobError` (2) with the table and what is wrong in it.
    """
    found: dict[str, Tenant] = {}
    for name, entry in _entries(path).items():
        tenant = Tenant(name, _quota(entry, limits))
        for digest in entry.sha256:
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise JobError(ExitCode.USAGE, f"{path}: [{name}]: sha256 has to be 64 hex digits, never the token itself")
            if digest in found:
                raise JobError(ExitCode.USAGE, f"{path}: [{name}] and [{found[digest].name}] have the same token")
            found[digest] = tenant
    if not found:
        raise JobError(ExitCode.USAGE, f"{path} has no tokens; `batchllm serve --tokens {path} --new-token NAME` makes one")
    return Tenants(found)


def _entries(path: Path) -> dict[str, _Entry]:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobError(ExitCode.USAGE, f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JobError(ExitCode.USAGE, f"{path}: not valid TOML: {error}") from None
    return {name: _entry(path, name, value) for name, value in values.items()}


def _entry(path: Path, name: str, value: Any) -> _Entry:
    if not _NAME.fullmatch(name):
        raise JobError(ExitCode.USAGE, f"{path}: '{name[:80]}' cannot be a tenant: letters, digits, '.', '_' and '-' only")
    try:
        return _Entry.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (name, *first["loc"])))
        raise JobError(ExitCode.USAGE, f"{path}: [{where}]: {first['msg']}") from None


def _quota(entry: _Entry, limits: Gateway) -> Quota:
    return Quota(
        limits.quota_bytes if entry.file_bytes is None else entry.file_bytes,
        limits.quota_batches if entry.batches is None else entry.batches,
        limits.quota_lines if entry.lines is None else entry.lines,
    )


def everybody(limits: Gateway) -> Tenants:
    """No tokens at all: for a gateway that nobody else can reach."""
    return Tenants(open_to=Tenant(OPEN_TENANT, Quota(limits.quota_bytes, limits.quota_batches, limits.quota_lines)))


def add_token(path: Path, name: str) -> str:
    """Make a token for a new tenant and add its hash to the file; the token itself is returned and stands nowhere.

    Raises `JobError` (2) for a tenant that is there already, or a name that cannot be one.
    """
    known = _entries(path) if path.exists() else {}
    token = "bl-" + secrets.token_urlsafe(_BYTES)
    if name in known:
        raise JobError(
            ExitCode.USAGE, f"{path} has a tenant '{name}' already; another token of theirs is another hash in its sha256"
        )
    if not _NAME.fullmatch(name):
        raise JobError(ExitCode.USAGE, f"'{name[:80]}' cannot be a tenant: letters, digits, '.', '_' and '-' only")
    before = path.read_bytes() if path.exists() else b""
    begin = "" if not before or before.endswith(b"\n") else "\n"
    text = f'{begin}["{name}"]\nsha256 = ["{hashed(token)}"]\n'
    try:
        write_whole(Storage(), path, before + text.encode())
    except OSError as error:
        raise JobError(ExitCode.DISK, f"{path}: cannot be written: {error.strerror}") from None
    return token
