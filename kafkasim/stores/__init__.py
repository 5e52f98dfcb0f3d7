"""Two stores that an application keeps beside Kafka: the producer's spool and the consumer's flag store.

The *spool* is compensation at the source: what send() reported as failed goes to a local disk and is sent again once a broker
answers; it is removed only after the re-send was acknowledged, so a crash in between sends it twice and never loses it.

The *flag store* is deduplication at the sink: before a record is handled its flag is looked up. When the flag is set decides what
a crash does, and it is the caller who decides (`dedup.order` of a scenario):

    mark-first     if flags.mark(...): flags.effect(...)         a crash in between loses the effect
    mark-last      if not flags.lookup(...): flags.effect(...); flags.mark(...)      a crash in between repeats it
    transaction    flags.handle_and_mark(...)                     both or neither

The same rules hold in both worlds. `fsync` is for a disk that is real: without it SQLite is as quick as the page cache, and as
safe against kill -9, but not against a power failure. A record is named by (producer, n), as everywhere (kafkasim.ledger).
"""

from kafkasim.stores.flags import FlagStore, MemoryFlags, RecordId, RedisFlags, SqliteFlags
from kafkasim.stores.spool import MemorySpool, Spool, SpoolEntry, SqliteSpool
from kafkasim.stores.sqlite import StoreError

__all__ = [
    "Spool",
    "SpoolEntry",
    "MemorySpool",
    "SqliteSpool",
    "FlagStore",
    "RecordId",
    "MemoryFlags",
    "SqliteFlags",
    "RedisFlags",
    "StoreError",
]
