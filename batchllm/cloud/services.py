"""The services behind the addresses: the library that speaks to each, its bounds, and how each writes over a known version only.

* S3: `If-Match` with the ETag (docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html)
* Google Cloud Storage: `ifGenerationMatch` with the generation (cloud.google.com/storage/docs/request-preconditions)
* Azure Blob Storage: `If-Match` with the ETag (learn.microsoft.com/rest/api/storageservices, "conditional headers")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

CONNECT_S, READ_S = 10.0, 60.0
_FRESH = {"use_listings_cache": False, "skip_instance_cache": True}


@dataclass(frozen=True, slots=True)
class Service:
    """`filesystem` opens one (ImportError without the library); `mark` is what its `info` calls the mark of a version.

    `replace` writes over the version with that mark, or over any where it is None, and gives the new one. `writing` goes with
    every upload. `loggers` say what is raised as well.
    """

    library: str
    filesystem: Callable[[], Any]
    mark: str
    replace: Callable[[Any, str, bytes, str | None], str | None]
    loggers: tuple[str, ...]
    writing: Mapping[str, Any] = field(default_factory=dict)


def _s3() -> Any:
    from s3fs import S3FileSystem

    terms = {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": {"max_attempts": 1}}
    return S3FileSystem(config_kwargs=terms, **_FRESH)


def _s3_replace(fs: Any, path: str, data: bytes, mark: str | None) -> str | None:
    done = fs.pipe_file(path, data, **({} if mark is None else {"IfMatch": mark}))
    return done.get("ETag") if isinstance(done, dict) else None


def _gs() -> Any:
    """Of its two classes the one that speaks HTTP only: the other asks the kind of each bucket over gRPC first.

    Without bounds of ours it would wait for a dead connection without an end.
    """
    from aiohttp import ClientTimeout
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(requests_timeout=ClientTimeout(sock_connect=CONNECT_S, sock_read=READ_S), **_FRESH)


def _gs_replace(fs: Any, path: str, data: bytes, mark: str | None) -> str | None:
    """The filesystem's own uploads know no other condition than that there is nothing yet."""
    bucket, _, key = path.partition("/")
    uploads = fs.base.removesuffix("storage/v1/") + "upload/storage/v1/b/{}/o"
    terms = {"uploadType": "media", "name": key, "ifGenerationMatch": mark}
    headers = {"Content-Type": "application/octet-stream"}
    done = fs.call("POST", uploads, bucket, headers=headers, data=data, json_out=True, **terms)
    return str(done["generation"]) if "generation" in done else None


def _az() -> Any:
    from adlfs import AzureBlobFileSystem

    fs = AzureBlobFileSystem(connection_timeout=CONNECT_S, read_timeout=READ_S, **_FRESH)
    policy: Any = getattr(getattr(fs.service_client, "_config", None), "retry_policy", None)
    if hasattr(policy, "initial_backoff"):
        policy.initial_backoff = 1  # instead of 15 s: a lease that is read so late is taken for a dead machine's
    return fs


def _az_replace(fs: Any, path: str, data: bytes, mark: str | None) -> str | None:
    from azure.core import MatchConditions

    terms = {} if mark is None else {"etag": mark, "match_condition": MatchConditions.IfNotModified}
    done = fs.pipe_file(path, data, **_AZ_WRITING, **terms)
    return done.get("etag") if isinstance(done, dict) else None


_AZ_WRITING = {"retry_total": 0}
"""A courier tries again by itself."""

SERVICES = {
    "s3": Service("s3fs", _s3, "ETag", _s3_replace, ("s3fs",)),
    "gs": Service("gcsfs", _gs, "generation", _gs_replace, ("gcsfs", "google")),
    "az": Service("adlfs", _az, "etag", _az_replace, ("azure",), _AZ_WRITING),
}
