"""Out to other tools, and in from one: JSON, JSON lines, CSV and Parquet, and the JSON lines of Kafka's own verifiable clients.

Kafka's system tests drive VerifiableProducer and VerifiableConsumer (org.apache.kafka.tools) and judge what these print, one event a
line. A ledger can be written so, and a real cluster's output read back into a ledger, which every check then understands.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from kafkasim.ledger import Callback, Commit, Handled, Ledger, LogEntry, Resent, Sent
from kafkasim.report import Report, Summary

Event = dict[str, Any]
_EXCEPTIONS = "org.apache.kafka.common.errors"


# ------------------------------------------------------------------------------------------------------------- reports


def runs_document(reports: Sequence[Report], summary: Summary) -> dict[str, Any]:
    """What `--runs N --json` holds."""
    return {"runs": [report.to_dict() for report in reports], "summary": summary.to_dict()}


def write_json(document: Mapping[str, Any], file: TextIO) -> None:
    """One document, readable."""
    json.dump(document, file, indent=2)
    file.write("\n")


def write_json_lines(reports: Iterable[Report], file: TextIO) -> None:
    """One report a line."""
    file.writelines(json.dumps(report.to_dict()) + "\n" for report in reports)


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every column of any row, in order of appearance: one header for runs that differ in their groups."""
    return list(dict.fromkeys(name for row in rows for name in row))


def write_csv(reports: Sequence[Report], file: TextIO) -> None:
    """One header, a row a run, no wall-clock column: equal work gives equal files. Open `file` with newline=""."""
    rows = [report.flat() for report in reports]
    writer = csv.DictWriter(file, columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def write_parquet(reports: Sequence[Report], path: Path) -> None:
    """The same table as Parquet. Raises ImportError where pyarrow is not installed (the extra `sweep`)."""
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    rows = [report.flat() for report in reports]
    names = columns(rows)
    parquet.write_table(pyarrow.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]), path)


# ------------------------------------------------------------------------------------- Kafka's verifiable clients: writing


def producer_events(ledger: Ledger, producer: str) -> Iterator[Event]:
    """What a VerifiableProducer would have printed: an event a callback. Its value is "shop.1051", as --value-prefix makes it.

    Offset -1 stands where none is known (acks=0), as RecordMetadata has it.
    """
    topics = [entry.partition for entry in ledger.callbacks if entry.producer == producer and entry.partition]
    usual = _split(topics[0])[0] if topics else ""
    for entry in ledger.callbacks:
        if entry.producer != producer:
            continue
        topic, partition = _split(entry.partition) if entry.partition else (usual, -1)
        for place, number in enumerate(entry.numbers):
            event = {"timestamp": round(entry.at), "key": None, "value": f"{producer}.{number}", "topic": topic}
            if entry.error:
                exception = f"class {_EXCEPTIONS}.{entry.error.partition(':')[0]}"
                yield {**event, "name": "producer_send_error", "exception": exception, "message": entry.error}
            else:
                offset = entry.base_offset + place if entry.base_offset >= 0 else -1
                yield {**event, "name": "producer_send_success", "partition": partition, "offset": offset}


def consumer_events(ledger: Ledger, group: str) -> Iterator[Event]:
    """What a group's VerifiableConsumers (with --verbose) would have printed, in order of time."""
    mine: list[Handled | Commit] = [entry for entry in ledger.handled if entry.group == group]
    mine += [entry for entry in ledger.commits if entry.group == group]
    for entry in sorted(mine, key=lambda entry: entry.at):
        if isinstance(entry, Commit):
            yield _offsets_committed(entry)
        else:
            yield from _records(entry.partition, entry.base_offset, entry.producer, entry.numbers, entry.at)


def log_events(ledger: Ledger) -> Iterator[Event]:
    """What a VerifiableConsumer that had read the final log all along would have printed: what retention removed later is there, too."""
    for entry in ledger.log:
        yield from _records(entry.partition, entry.base_offset, entry.producer, entry.numbers, ledger.ended)


def write_events(events: Iterable[Event], file: TextIO) -> None:
    """One event a line, `timestamp` and `name` first, as Kafka's tools print it."""
    for event in events:
        head = {"timestamp": event["timestamp"], "name": event["name"]}
        file.write(json.dumps(head | event, separators=(",", ":")) + "\n")


def _offsets_committed(entry: Commit) -> Event:
    topic, partition = _split(entry.partition)
    offsets = [{"topic": topic, "partition": partition, "offset": entry.offset}]
    failed = {"error": entry.error} if entry.error else {}
    return {"timestamp": round(entry.at), "name": "offsets_committed", "offsets": offsets, **failed, "success": not entry.error}


def _records(partition: str, base_offset: int, producer: str, numbers: Sequence[int], at: float) -> Iterator[Event]:
    topic, index = _split(partition)
    where = {"topic": topic, "partition": index}
    for place, number in enumerate(numbers):
        data = {"key": None, "value": f"{producer}.{number}", **where, "offset": base_offset + place}
        yield {"timestamp": round(at), "name": "record_data", **data}
    summary = {**where, "count": len(numbers), "minOffset": base_offset, "maxOffset": base_offset + len(numbers) - 1}
    yield {"timestamp": round(at), "name": "records_consumed", "count": len(numbers), "partitions": [summary]}


# ------------------------------------------------------------------------------------- Kafka's verifiable clients: reading


def read_verifiable(
    producers: Mapping[str, Iterable[str]],
    consumers: Mapping[str, Iterable[str]],
    log: Iterable[str] | None = None,
) -> Ledger:
    """A ledger from what Kafka's verifiable clients printed: their lines by producer name and by group, and a last reader's of the log.

    Consumers must have run with --verbose, since `records_consumed` alone does not say which records. Without `log`, what
    anybody consumed is taken for the log, as Kafka's own validate_delivery does. Times count from the first event.
    Raises ValueError, with source and line, where a line is no event of Kafka's tools; their start-up and rebalances are passed over.
    """
    sent = {name: list(_events(lines, name)) for name, lines in producers.items()}
    read = {name: list(_events(lines, name)) for name, lines in consumers.items()}
    final = list(_events(log, "log")) if log is not None else [event for events in read.values() for event in events]
    stamps = [event["timestamp"] for events in (*sent.values(), *read.values()) for event in events]
    zero = min(stamps, default=0)
    ledger = Ledger("verifiable", 0, groups=tuple(consumers), ended=float(max(stamps, default=0) - zero))
    for producer, events in sent.items():
        _read_producer(ledger, producer, events, zero)
    for group, events in read.items():
        _read_group(ledger, group, events, zero)
    _read_log(ledger, final)
    return ledger


def _events(lines: Iterable[str], source: str) -> Iterator[Event]:
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            known = isinstance(event, dict) and isinstance(event["name"], str) and isinstance(event.get("timestamp", 0), int | float)
        except (ValueError, KeyError):
            known = False
        if not known:
            raise ValueError(f"{source}, line {place}: this is no event of Kafka's verifiable clients: {line.strip()[:60]}")
        yield {"timestamp": 0, **event}


def _read_producer(ledger: Ledger, producer: str, events: Sequence[Event], zero: float) -> None:
    """VerifiableProducer tells of a record when its callback comes; so that is when it counts as sent, and latency is not known.

    A second event for a record means that the application sent it again.
    """
    known: set[int] = set()
    for event in events:
        if event["name"] not in ("producer_send_success", "producer_send_error"):
            continue
        _, number = _record(event, producer)
        at = float(event["timestamp"] - zero)
        if number in known:
            ledger.resent.append(Resent(producer, (number,), at, spool=False))
        else:
            ledger.sent.append(Sent(producer, (number,), at))
        known.add(number)
        if event["name"] == "producer_send_success":
            partition = f"{event['topic']}-{event['partition']}"
            ledger.callbacks.append(Callback(producer, (number,), at, "", partition, int(event["offset"])))
        else:
            error = str(event.get("exception", "")).removeprefix("class ").rpartition(".")[2] or "unknown"
            ledger.callbacks.append(Callback(producer, (number,), at, error, "", -1))


def _read_group(ledger: Ledger, group: str, events: Sequence[Event], zero: float) -> None:
    for event in events:
        at = float(event["timestamp"] - zero)
        if event["name"] == "record_data":
            producer, number = _record(event, _only_producer(ledger))
            partition = f"{event['topic']}-{event['partition']}"
            ledger.handled.append(Handled(group, group, partition, int(event["offset"]), producer, (number,), at))
        elif event["name"] == "offsets_committed":
            error = "" if event.get("success", True) else str(event.get("error") or "unknown")
            for offset in event["offsets"]:
                ledger.commits.append(Commit(group, group, f"{offset['topic']}-{offset['partition']}", int(offset["offset"]), at, error))


def _read_log(ledger: Ledger, events: Sequence[Event]) -> None:
    """Each (partition, offset) once, whoever read it."""
    found: dict[tuple[str, int], tuple[str, int]] = {}
    for event in events:
        if event["name"] == "record_data":
            where = (f"{event['topic']}-{event['partition']}", int(event["offset"]))
            found.setdefault(where, _record(event, _only_producer(ledger)))
    ledger.log += [LogEntry(partition, offset, producer, (number,)) for (partition, offset), (producer, number) in sorted(found.items())]


def _record(event: Event, producer: str) -> tuple[str, int]:
    """Producer and number of "shop.1051", or of a bare "1051", which is the producer's own."""
    prefix, _, number = str(event["value"]).rpartition(".")
    if not number.isdigit():
        raise ValueError(f"the value {event['value']!r} is not a number, nor PREFIX.NUMBER, as a VerifiableProducer writes it")
    return prefix or producer, int(number)


def _only_producer(ledger: Ledger) -> str:
    return ledger.sent[0].producer if ledger.sent else "producer"


def _split(partition: str) -> tuple[str, int]:
    topic, _, index = partition.rpartition("-")
    return topic, int(index)
