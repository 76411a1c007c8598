"""What a gateway is told (`[gateway]`): where it listens, where it keeps its files, what its tenants may take up."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Gateway(BaseModel):
    """For `batchllm serve`. Quotas are of one tenant; a tenant's table in the file of tokens may say otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="the address to listen on")
    port: int = Field(8300, ge=0, le=65535, description="the port; 0 for a free one")
    data: str = Field("gateway", description="the folder of its files and batches")
    tokens: str | None = Field(None, description="a file with the hashes of tokens: a table for each tenant")
    max_file: int = Field(200 << 20, ge=1024, description="bytes of an uploaded file")
    max_lines: int = Field(50_000, ge=1, description="lines of a batch")
    running: int = Field(
        32, ge=1, description="batches that run at once, at most; a tenant with none running may always start one"
    )
    quota_bytes: int = Field(10 << 30, ge=0, description="bytes of all files of a tenant")
    quota_batches: int = Field(1000, ge=0, description="unfinished batches of a tenant")
    quota_lines: int = Field(1_000_000, ge=0, description="lines of all unfinished batches of a tenant")
