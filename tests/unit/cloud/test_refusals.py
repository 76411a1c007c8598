"""What the three libraries say when a write is refused, and what it means: another's write, no condition known, or no account."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from batchllm.cloud.address import Remote
from batchllm.cloud.bucket import Bucket, TakenError, unreachable, why
from batchllm.errors import ExitCode
from tests.unit.cloud.objects import Objects

AT = Remote("s3://bucket/out/job")


class HttpError(Exception):
    """As a library's own: `code` is gcsfs's, `status_code` Azure's."""

    def __init__(self, text: str, **more: object) -> None:
        super().__init__(text)
        self.__dict__ |= more


class ClientAuthenticationError(HttpError):
    """Azure's."""


class Refusing(Objects):
    """Refuses every write on a condition with this error."""

    error: Exception

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **conditions: Any) -> dict[str, Any]:
        if mode == "create" or conditions:
            raise self.error
        return super().pipe_file(path, value)


def refusing(error: Exception) -> tuple[Bucket, Refusing]:
    objects = Refusing()
    objects.error = error
    return Bucket(AT, objects), objects


@pytest.mark.parametrize(
    "error",
    [
        FileExistsError("bucket/out/job/a"),
        OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold"),
        OSError(errno.EBUSY, "A conflicting conditional operation is currently in progress against this resource."),
        HttpError("The condition specified using HTTP conditional header(s) is not met.", status_code=412),
    ],
    ids=["gcsfs and create", "s3fs", "s3fs, both at once", "adlfs"],
)
def test_a_condition_that_is_not_met_is_anothers_write(error: Exception) -> None:
    bucket, objects = refusing(error)
    with pytest.raises(TakenError):
        bucket.create("a", b"1")
    with pytest.raises(TakenError):
        bucket.replace("a", b"1", "mark")
    assert not objects.store


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented"), HttpError("NotImplemented")],
)
def test_a_service_that_knows_no_conditions_gets_none_and_the_last_one_wins(error: Exception) -> None:
    bucket, objects = refusing(error)
    bucket.create("a", b"1")
    bucket.create("a", b"2")
    assert bucket.read("a") == b"2"
    bucket, objects = refusing(error)
    bucket.replace("a", b"3", "mark of another")
    assert bucket.read("a") == b"3"
    assert objects.calls.count("pipe_file") == 1


def test_any_other_refusal_is_no_word_about_another() -> None:
    bucket, objects = refusing(HttpError("the service is away", status_code=503))
    for write in (lambda: bucket.create("a", b"1"), lambda: bucket.replace("a", b"1", "mark")):
        with pytest.raises(HttpError, match="the service is away"):
            write()
    assert not objects.store


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError("Access Denied"), ExitCode.ACCOUNT),
        (OSError("Forbidden: https://storage/b/bucket/o"), ExitCode.ACCOUNT),
        (HttpError("Anonymous caller does not have storage.objects.get access", code=401), ExitCode.ACCOUNT),
        (ClientAuthenticationError("Server failed to authenticate the request."), ExitCode.ACCOUNT),
        (HttpError("Operation returned an invalid status 'Forbidden'", status_code=403), ExitCode.ACCOUNT),
        (HttpError("Service Unavailable", code=503), ExitCode.UNAVAILABLE),
        (FileNotFoundError("http://storage/upload/b/bucket/o"), ExitCode.UNAVAILABLE),
        (ConnectionRefusedError(111, "Connection refused"), ExitCode.UNAVAILABLE),
    ],
)
def test_a_refused_account_wants_a_person_and_anything_else_may_be_tried_again(error: Exception, code: ExitCode) -> None:
    ending = unreachable(AT, error)
    assert (ending.exit_code, str(ending)) == (code, f"{AT}: {why(error)}; nothing was sent")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError("http://storage/upload/b/bucket/o"), "there is no such bucket"),
        (
            HttpError("The account is disabled.\nRequestId:1234\nTime:2026-01-01\nErrorCode:AccountIsDisabled"),
            "The account is disabled.",
        ),
        (OSError(28, "No space left on device"), "No space left on device"),
        (TimeoutError(), "TimeoutError"),
        (HttpError("x" * 500), "x" * 200),
    ],
)
def test_what_went_wrong_is_a_few_words_on_one_line(error: Exception, words: str) -> None:
    assert why(error) == words
