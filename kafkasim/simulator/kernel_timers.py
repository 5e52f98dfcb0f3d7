"""When the kernel of a machine sends a SYN again. The timers of Linux fire late, the longer ones by more, so the times drift apart.

In Linux: calc_wheel_index and calc_index (kernel/time/timer.c) for the timer wheel, tcp_retransmit_timer (net/ipv4/tcp_timer.c).

Simplified: every machine counts 250 jiffies a second (CONFIG_HZ), and all of them begin with the run.
"""

from __future__ import annotations

from collections.abc import Iterator

_JIFFY_MS = 4
_SLOTS = 64  # of each level of the wheel; one slot of a level is eight of the level before

# How long a SYN is waited for: five times a second (RFC 6298; since 6.5 tcp_syn_linear_timeouts, 4, repeat it), then twice as long each
# time (tcp_syn_retries is 6). After the last of them connect() fails with ETIMEDOUT; Kafka's own timeouts mostly come before.
_SYN_TIMEOUTS_MS = (1_000, 1_000, 1_000, 1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000)


def fires_at(now: float, after_ms: int) -> float:
    """When a timer set at `now` (ms) fires: at the end of the slot of the timer wheel into which it falls.

    A second from now is more than 1000 and up to 1032 ms away; where `now` is itself the end of a slot, 1024.
    """
    delta = after_ms // _JIFFY_MS
    level = 0
    while delta >= _SLOTS - 1 << 3 * level:
        level += 1
    slot = 1 << 3 * level
    expires = int(now // _JIFFY_MS) + delta
    return float((expires // slot + 1) * slot * _JIFFY_MS)


def syn_timeouts(begun: float) -> Iterator[float]:
    """When the timer fires for a SYN first sent at `begun`: each time it is sent again, but the last time connect() fails."""
    at = begun
    for timeout_ms in _SYN_TIMEOUTS_MS:
        at = fires_at(at, timeout_ms)
        yield at
