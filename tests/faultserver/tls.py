"""Certificates for tests, made by the `openssl` command and thrown away at exit."""

from __future__ import annotations

import atexit
import shutil
import ssl
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal

Tls = Literal["self-signed", "other-host", "plain"]
"""A certificate nobody signed; one for another host; https in the URL but plain bytes on the port."""

_NAMES = {"self-signed": "IP:127.0.0.1,DNS:localhost", "other-host": "DNS:elsewhere.invalid"}


def have_openssl() -> bool:
    """Whether certificates can be made here; tests that need them skip otherwise."""
    return shutil.which("openssl") is not None


@lru_cache
def server_context(kind: Tls | None) -> ssl.SSLContext | None:
    """The serving side's context; None where the port speaks plain."""
    if kind is None or kind == "plain":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(kind), _folder() / f"{kind}.key")
    return context


@lru_cache
def certificate(kind: Tls) -> Path:
    """A certificate file; a client that loads it as its authority trusts the server."""
    cert, key = _folder() / f"{kind}.pem", _folder() / f"{kind}.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-days",
        "2",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-subj",
        "/CN=faultserver",
        "-addext",
        f"subjectAltName={_NAMES[kind]}",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return cert


@lru_cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="faultserver-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
