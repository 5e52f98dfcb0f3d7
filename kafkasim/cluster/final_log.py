"""What finally lies in a real partition, and what retention has removed from it.

A broker tells nobody what it deleted. But offsets are given once: what lies below the end of the log and can no longer be read has been
there, and who was told of an offset knows which record it was: the producer by its acknowledgement, a consumer by having handled it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kafkasim.ledger import Callback, Handled, LogEntry

Place = tuple[int, str, int]  # offset, producer, number


def joined(partition: str, records: Iterable[Place], expired: bool = False) -> Iterator[LogEntry]:
    """Records at ascending offsets, as entries of the ledger: one for each run of neighbours in both offset and number."""
    start, producer, first, length = 0, "", 0, 0
    for offset, of, number in records:
        if length and of == producer and number == first + length and offset == start + length:
            length += 1
            continue
        if length:
            yield LogEntry(partition, start, producer, range(first, first + length), expired)
        start, producer, first, length = offset, of, number, 1
    if length:
        yield LogEntry(partition, start, producer, range(first, first + length), expired)


def removed_by_retention(
    partition: str, end: int, there: Sequence[LogEntry], callbacks: Iterable[Callback], handled: Iterable[Handled]
) -> tuple[list[LogEntry], int]:
    """The records at offsets below `end` that are not `there` any more; and of how many such offsets nobody knows the record.

    Where two acknowledgements name one offset (a log was cut and written anew), the later counts, and a consumer's word more than both:
    consumers see only what is committed, and only that is ever deleted by retention.
    """
    gone = bytearray(b"\1") * end
    for entry in there:
        for offset in range(entry.base_offset, min(entry.base_offset + len(entry.numbers), end)):
            gone[offset] = 0
    if not any(gone):
        return [], 0
    known: dict[int, Place] = {}
    acked = [entry for entry in callbacks if entry.partition == partition and not entry.error and entry.base_offset >= 0]
    told: list[Callback | Handled] = [
        *sorted(acked, key=lambda entry: entry.at),
        *(entry for entry in handled if entry.partition == partition),
    ]
    for claim in told:
        for offset, number in enumerate(claim.numbers, claim.base_offset):
            if offset < end and gone[offset]:
                known[offset] = (offset, claim.producer, number)
    return list(joined(partition, (known[offset] for offset in sorted(known)), expired=True)), sum(gone) - len(known)
