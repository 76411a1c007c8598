"""What the commands do about s3://, gs:// and az:// addresses: local copies in their place, and a courier for a run's journal."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batchllm.cloud.address import Remote, is_remote
from batchllm.errors import ExitCode, JobError
from batchllm.settings import Settings
from batchllm.terminal import say, say_aside
from batchllm.types import Json


def local_job(job: Path | Remote) -> Path:
    """The job, the table it is built from, or results of another tool, as a local file."""
    return Path(local_table(job.url)) if isinstance(job, Remote) else job


def local_table(table: str) -> str:
    """The table as a local file; a query behind its name stays there."""
    if not is_remote(table):
        return table
    from batchllm.cloud.copies import fetched

    address, question, query = table.partition("?")
    return f"{fetched(_remote(address))}{question}{query}"


@contextmanager
def local_output(args: Namespace) -> Iterator[Remote | None]:
    """Let `args.output` be a local file meanwhile, which is uploaded at the end; gives the address where it is one."""
    at = args.output
    if not isinstance(at, Remote):
        yield None
        return
    from batchllm.cloud.copies import written

    with written(at) as local:
        args.output = local
        yield at


@dataclass(frozen=True, slots=True)
class Output:
    """A run's folder to read. `at` is the address it was fetched from, and `at_work` who ships there now, in words."""

    folder: Path
    at: Remote | None = None
    at_work: str | None = None

    def beside(self, name: str) -> Path:
        """Where something is written that has no place of its own: in the folder, or here by the name of the address."""
        return self.folder / name if self.at is None else Path(self.at.name + Path(name).suffix)


def output_to_read(place: Path | Remote) -> Output:
    """The folder, or what was shipped to the address so far. Raises `JobError` (2, 65, 69, 74, 75, 77)."""
    if not isinstance(place, Remote):
        return Output(place)
    from batchllm.cloud.bucket import Bucket
    from batchllm.cloud.view import view

    seen = view(Bucket(place))
    going = "" if seen.listing.complete else ", and the run has not ended" if seen.at_work else ", before the run ended"
    say(f"{place}: what {seen.listing.host} shipped until {seen.listing.at}{going}")
    return Output(seen.folder, place, seen.at_work)


class Shipment:
    """A run whose journal is shipped: `begin` before the folder is taken, `start` once it is, `finish` at the end."""

    def __init__(self, at: Remote) -> None:
        self.at = at
        self.folder = Path("outputs") / f"{at.name}-{at.mark}"
        """The local folder in which the run works."""

    def begin(self, settings: Settings) -> None:
        """Fetch what another machine left there. Raises `JobError`; then nothing was sent."""
        from batchllm.cloud.bucket import Bucket, unreachable
        from batchllm.cloud.courier import Courier
        from batchllm.cloud.lease import Lease
        from batchllm.cloud.restore import settled
        from batchllm.journal.storage import Storage

        if settings.lane != "live":
            raise JobError(ExitCode.USAGE, f"-o {self.at} works with lane live only: what a batch owes has to be known at once")
        storage, bucket = Storage(), Bucket(self.at)
        known = settled(bucket, self.folder, storage, fresh=settings.fresh, tell=say)
        lease = Lease(bucket, known.owner)
        try:
            lease.await_free(say)
        except JobError:
            raise
        except Exception as error:
            raise unreachable(self.at, error) from None
        self.courier = Courier(bucket, self.folder, storage, known, lease, settings.cloud, say_aside)

    def start(self) -> None:
        """Ship from now on. Raises `JobError`; then nothing was sent."""
        self.courier.start()

    def finish(self, summary: Json, *, quiet: bool) -> bool:
        """Ship what is left, say what came of it, also in the summary, and whether all of it is there."""
        from batchllm.derived import write_summary
        from batchllm.journal.storage import Storage

        done = summary["shipping"] = self.courier.finish()
        with suppress(OSError):  # a disk that has failed was told of already
            write_summary(Storage(), self.folder, summary)
        if not done["complete"]:
            say(f"  NOT SHIPPED {done['bytes_left']:,} bytes to {self.at}: {done['error']}; the same command ships them")
        elif not quiet:
            say(f"  shipped   {self.at}: {done['bytes']:,} bytes in {done['segments']} segments")
        return bool(done["complete"])


def shipment_of(args: Namespace) -> Shipment | None:
    """The shipment of a run whose `-o` is an address; `args.output` is its local folder from then on."""
    if not isinstance(args.output, Remote):
        return None
    made = Shipment(args.output)
    args.output = made.folder
    return made


def _remote(address: str) -> Remote:
    try:
        return Remote(address)
    except ValueError as error:
        raise JobError(ExitCode.USAGE, str(error)) from None
