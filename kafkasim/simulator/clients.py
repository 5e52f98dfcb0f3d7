"""From the scenario's words to the applications of one simulated run, and the stores that they have."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kafkasim.arrivals import arrivals, draw_keys
from kafkasim.randomness import Streams
from kafkasim.scenario import ConsumerGroup, Producer, Scenario
from kafkasim.simulator.consuming import Desk
from kafkasim.simulator.producing import Source
from kafkasim.stores import FlagStore, MemoryFlags, RedisFlags, SqliteFlags, SqliteSpool


class Stores:
    """The spools and flag stores of one run: real ones, in a temporary folder that goes with the run, and is made for those that need it.

    Nothing is fsynced, because the disk of a simulated crash is simulated, too: these files outlive it by being left open.
    """

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._open: list[SqliteSpool | FlagStore] = []

    def spool(self, producer: Producer) -> SqliteSpool | None:
        """The producer's spool, where on.failure asks for one."""
        if producer.on_failure != "spool":
            return None
        made = SqliteSpool(self._place() / f"{producer.name}.spool.sqlite", fsync=False)
        self._open.append(made)
        return made

    def flags(self, group: ConsumerGroup) -> FlagStore | None:
        """The group's flag store. `dedup: redis` without a `dedup.url` is played in memory, by the same rules."""
        made: FlagStore
        if group.dedup == "none":
            return None
        if group.dedup == "sqlite":
            made = SqliteFlags(self._place() / f"{group.group}.flags.sqlite", fsync=False)
        elif group.dedup_url:
            made = RedisFlags(group.dedup_url, namespace=f"kafkasim:{self._place().name}")
        else:
            made = MemoryFlags()
        self._open.append(made)
        return made

    def close(self) -> None:
        """Close every store and remove the folder."""
        for store in self._open:
            if isinstance(store, RedisFlags):
                store.clear()  # a server outlives the run, and what it held for it must not
            store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="kafkasim-")
        return Path(self._folder.name)


def source(producer: Producer, scenario: Scenario, zero: float, streams: Streams, stores: Stores) -> Source:
    """A producing application's lasting part."""
    settings = scenario.producer_settings(producer.name)
    return Source(
        name=producer.name,
        topic=producer.topic,
        arrivals=arrivals(producer, zero, streams),
        keys=draw_keys(producer, streams),
        on_failure=producer.on_failure,
        on_restart=producer.on_restart,
        retries=settings.retries,
        retry_backoff_ms=settings.retry_backoff_ms,
        spool_retry_ms=producer.spool_retry_ms,
        spool=stores.spool(producer),
    )


def desk(group: ConsumerGroup, member: str, flags: FlagStore | None) -> Desk:
    """A consuming application's lasting part."""
    return Desk(
        group=group.group,
        member=member,
        commit=group.commit,
        worker_commit=group.worker_commit,
        threads=group.threads,
        poll_timeout_ms=group.poll_timeout_ms,
        processing_ms=group.processing_ms,
        dedup_order=group.dedup_order,
        dedup_ms=group.dedup_ms,
        flags=flags,
    )
