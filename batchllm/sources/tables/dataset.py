"""A Hugging Face dataset on disk (`save_to_disk`), read by pyarrow alone; also a folder of Parquet files, and one Arrow file.

Layout: `state.json` names the Arrow files of a split in order; `dataset_dict.json` names the splits, each a folder of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from batchllm.errors import ExitCode, JobError
from batchllm.sources.tables import Table, TableOptions, missing, unreadable
from batchllm.sources.tables.arrow import BATCH_ROWS, parquet_files, rows_of
from batchllm.strictjson import loads

STATE, SPLITS = "state.json", "dataset_dict.json"


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a table rather than texts."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file() or next(folder.glob("**/*.parquet"), None) is not None


def read(path: Path, options: TableOptions) -> Table:
    if path.is_file():
        return _arrow(path, [path])
    if (path / STATE).is_file() or (path / SPLITS).is_file():
        folder = path if (path / STATE).is_file() else path / _split(path, options.split)
        return _arrow(path, _files(folder))
    files = sorted(path.glob("**/*.parquet"))
    splits = sorted({file.name.split("-")[0].removesuffix(".parquet") for file in files})
    if options.split is not None:
        files = [file for file in files if file.name.split("-")[0].removesuffix(".parquet") == options.split]
    if not files or (len(splits) > 1 and options.split is None and set(splits) & {"train", "test", "validation"}):
        raise _which(path, options.split, splits)
    return parquet_files(path, files)


def _which(path: Path, asked: str | None, names: Sequence[str]) -> JobError:
    what = f"no split '{asked}'; it has" if asked else "several splits, say which with --split:"
    return JobError(ExitCode.USAGE, f"{path} has {what} {', '.join(names)}")


def _document(file: Path) -> Any:
    try:
        return loads(file.read_bytes())
    except ValueError as error:
        raise unreadable(file, error) from None


def _split(path: Path, asked: str | None) -> str:
    names = [str(name) for name in _document(path / SPLITS).get("splits", [])]
    if asked in names:
        return str(asked)
    if asked is not None or len(names) != 1:
        raise _which(path, asked, names)
    return names[0]


def _files(folder: Path) -> list[Path]:
    state = _document(folder / STATE)
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise unreadable(folder, "its rows are picked through an index; save it with flatten_indices()")
    try:
        return [folder / Path(one["filename"]).name for one in state["_data_files"]]
    except (KeyError, TypeError):
        raise unreadable(folder / STATE, "it names no data files") from None


def _arrow(path: Path, files: Sequence[Path]) -> Table:
    try:
        from pyarrow import ArrowException
    except ImportError:
        raise missing("pyarrow", f"reading {path.name}") from None
    batches = _batches(files)
    try:
        schema = next(batches)
    except (ArrowException, ValueError) as error:
        raise unreadable(path, error) from None
    except StopIteration:
        raise unreadable(path, "it has no data files") from None
    return Table(tuple(schema.names), rows_of(path, batches))


def _batches(files: Sequence[Path]) -> Iterator[Any]:
    """The schema, then every record batch in pieces. `datasets` writes the stream form; other tools the file form."""
    import pyarrow as pa

    first = True
    for file in files:
        with pa.memory_map(str(file)) as source:
            with_footer = source.read(6) == b"ARROW1"
            source.seek(0)
            reader: Any = pa.ipc.open_file(source) if with_footer else pa.ipc.open_stream(source)
            if first:
                first = False
                yield reader.schema
            found = map(reader.get_batch, range(reader.num_record_batches)) if with_footer else reader
            for batch in found:
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    yield batch.slice(start, BATCH_ROWS)
