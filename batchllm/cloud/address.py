"""What an address in object storage looks like. Light: the command line imports it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

SCHEMES = ("s3", "gs", "az")


@dataclass(frozen=True, slots=True)
class Remote:
    """`s3://bucket/key`, `gs://…`, `az://container/…`. Raises ValueError for one without a key, or that carries a password."""

    url: str

    def __post_init__(self) -> None:
        bucket, _, key = self.path.partition("/")
        if not bucket or not key.strip("/"):
            raise ValueError(f"{self.url} names no object; it should look like {self.scheme}://bucket/folder/name")
        if "@" in bucket or ":" in bucket:
            raise ValueError(f"a {self.scheme}:// address carries no key: set the environment's variables for it")

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def path(self) -> str:
        """Bucket and key, without the scheme and slashes at the end."""
        return self.url.partition("://")[2].rstrip("/")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def mark(self) -> str:
        """A short name of this address among all."""
        return blake2b(f"{self.scheme}://{self.path}".encode(), digest_size=4).hexdigest()

    def __str__(self) -> str:
        return self.url


def is_remote(text: str) -> bool:
    return text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))
