"""How long a killed broker's sockets stay open: SIGKILL takes its time, which the simulator's crash does not. Run by hand; needs Java.

python tests/benchmarks/kill.py
"""

import os
import signal
import socket
import time
from contextlib import suppress

from kafkasim import Scenario
from kafkasim.cluster.local_site import LocalSite
from kafkasim.cluster.real_kafka import RealKafka


def main() -> None:
    with RealKafka() as backend:
        site = backend.site(Scenario.load("acks0-leader-crash"))
        assert isinstance(site, LocalSite), "brokers of our own"
        for number, address in enumerate(site.brokers.admin_bootstrap.split(","), 1):
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port))) as connection:
                time.sleep(0.3)
                began = time.perf_counter()
                os.killpg(site.brokers.process(f"broker-{number}").pid, signal.SIGKILL)
                with suppress(OSError):
                    connection.recv(1)
                print(f"broker-{number}: its sockets were closed {1000 * (time.perf_counter() - began):.1f} ms after SIGKILL")


if __name__ == "__main__":
    main()
