"""The book: one transaction at a time, each on the disk or not at all."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchllm.errors import ExitCode, JobError
from batchllm.gateway import rows
from batchllm.gateway.objects import StoredFile, batch_json, moved, new_batch
from batchllm.gateway.rows import Book, Entry
from batchllm.gateway.store import NAME, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store(tmp_path)
    yield one
    one.close()


def file(number: int, tenant: str = "alice", expires: int | None = None) -> StoredFile:
    return StoredFile(f"file-{number}", tenant, "a.jsonl", 10, 1, "batch", 100 + number, expires)


def entry(number: int, tenant: str = "alice", status: str = "validating") -> Entry:
    asked = new_batch({"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"})
    value = {**moved(batch_json(asked, 100), status, 100), "id": f"batch_{number}"}
    return Entry(value["id"], tenant, 5, None, value)


@pytest.mark.asyncio
async def test_what_fails_in_the_midst_leaves_no_trace(store: Store) -> None:
    def half(book: Book) -> None:
        rows.add_file(book, file(1))
        raise RuntimeError("in the midst")

    with pytest.raises(RuntimeError):
        await store.call(half)
    assert await store.call(rows.file_ids) == set()


@pytest.mark.asyncio
async def test_a_disk_that_takes_no_more_is_an_os_error_and_leaves_no_trace(store: Store) -> None:
    def filled(book: Book) -> None:
        book.execute(f"PRAGMA max_page_count = {book.execute('PRAGMA page_count').fetchone()[0]}")
        for number in range(1000):
            rows.add_file(book, file(number))

    with pytest.raises(OSError) as full:  # noqa: PT011 - the number says it
        await store.call(filled)
    assert full.value.errno == errno.ENOSPC
    assert await store.call(rows.file_ids) == set()


@pytest.mark.asyncio
async def test_pages_go_by_the_order_of_making_and_show_only_ones_own(store: Store) -> None:
    for number in range(5):
        await store.call(lambda book, number=number: rows.add_file(book, file(number)))
    await store.call(lambda book: rows.add_file(book, file(9, "bob")))

    async def page(**more: object) -> list[str] | None:
        given = {"after": None, "purpose": None, "newest_first": True, **more}
        found = await store.call(lambda book: rows.files_of(book, "alice", 0, 2, **given))  # type: ignore[arg-type]
        return None if found is None else [one.id for one in found]

    assert await page() == ["file-4", "file-3", "file-2"]
    assert await page(after="file-3") == ["file-2", "file-1", "file-0"]
    assert await page(newest_first=False, after="file-3") == ["file-4"]
    assert await page(purpose="batch_output") == []
    assert await page(after="file-9") is None


@pytest.mark.asyncio
async def test_an_expired_file_is_gone_before_anybody_removes_it(store: Store) -> None:
    await store.call(lambda book: rows.add_file(book, file(1, expires=500)))
    assert await store.call(lambda book: rows.file_of(book, "alice", "file-1", 499)) is not None
    assert await store.call(lambda book: rows.file_of(book, "alice", "file-1", 500)) is None
    assert await store.call(lambda book: rows.remove_expired(book, 499)) == []
    assert await store.call(lambda book: rows.remove_expired(book, 500)) == ["file-1"]


@pytest.mark.asyncio
async def test_only_unfinished_batches_count_and_are_taken_up_again(store: Store) -> None:
    states = ("validating", "in_progress", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled")
    for number, status in enumerate(states):
        one = entry(number, status=status)
        await store.call(lambda book, one=one: rows.add_batch(book, one, None))
    assert [one.status for one in await store.call(rows.unfinished)] == list(states[:4])
    assert await store.call(lambda book: rows.taken_by(book, "alice")) == (4, 20)
    assert await store.call(lambda book: rows.taken_by(book, "bob")) == (0, 0)


@pytest.mark.asyncio
async def test_a_book_outlives_its_process_and_one_of_another_kind_is_refused(tmp_path: Path) -> None:
    first = Store(tmp_path)
    await first.call(lambda book: rows.add_batch(book, entry(1), "key"))
    first.close()
    second = Store(tmp_path)
    found = await second.call(lambda book: rows.batch_once(book, "alice", "key"))
    assert found is not None
    assert (found.id, found.tenant, found.lines, found.status) == ("batch_1", "alice", 5, "validating")
    await second.call(lambda book: book.execute("PRAGMA user_version = 99"))
    second.close()
    with pytest.raises(JobError) as other:
        Store(tmp_path)
    assert other.value.exit_code is ExitCode.BAD_DATA
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / NAME).write_bytes(b"this is no database at all" * 100)
    with pytest.raises(JobError):
        Store(tmp_path / "other")
