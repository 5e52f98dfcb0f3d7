"""Compile the hot part of the simulator with mypyc, for those who run it very often: three times as fast, and not one number another.

    python .compile/compile_core.py FOLDER && PYTHONPATH=FOLDER kafkasim run calm

FOLDER gets a copy of the package, in which the modules below are machine code beside their source: Python takes the former. Needs mypy,
setuptools and a C compiler, and takes about a minute. `pip install` does the same where the build hook is enabled (hatch_build.py).
Nobody has to: pure Python is the default, and every module stays Python that can be read, changed and run as it stands.

What is compiled keeps to the types it declares, its functions cannot be replaced from outside, and only what is compiled, too, can inherit
from it. A class that mypyc does not take (an Enum with an __init__, a NamedTuple with a field of type `object`) stands in a module that
is not listed here.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

HOT = {
    "kafkasim": ("progress",),
    "kafkasim/protocol": (
        "accumulator",
        "broker",
        "client_metadata",
        "connection_states",
        "consumer",
        "consumer_commits",
        "consumer_membership",
        "coordinator_runtime",
        "delayed_fetch",
        "delayed_produce",
        "fetcher",
        "hosted_partitions",
        "idempotence",
        "isr",
        "kafka_apis",
        "leader_epoch",
        "local_replica",
        "log",
        "log_segments",
        "network_client",
        "partition",
        "partition_fetch_state",
        "partitioner",
        "position_validation",
        "producer",
        "producer_batch",
        "producer_state",
        "purgatory",
        "replica",
        "replica_fetcher",
        "replica_manager",
        "request_channel",
        "scheduled_tasks",
        "sender",
        "subscription_state",
        "unassigned",
    ),
    "kafkasim/simulator": ("consuming", "driver", "network", "producing", "watched_driver"),
}


def compile_core(folder: Path) -> None:
    """Copy the package to `folder`, and put the compiled modules beside their source there."""
    shutil.copytree(
        Path(__file__).parent.parent / "kafkasim", folder / "kafkasim", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    )
    os.chdir(folder)  # mypyc names modules by their paths from here
    from mypyc.build import mypycify
    from setuptools import Distribution

    modules = [f"{package}/{name}.py" for package, names in HOT.items() for name in names]
    # Types are checked elsewhere, strictly and with every library there is; here they only have to be understood.
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    # Measured: a higher level makes the core 4 % faster, and takes half as long again.
    extensions = mypycify([*options, *modules], opt_level="1", group_name="kafkasim_core", target_dir="build")
    command = Distribution({"name": "kafkasim", "ext_modules": extensions}).get_command_obj("build_ext")
    command.inplace = True
    command.ensure_finalized()
    command.run()
    shutil.rmtree("build")


if __name__ == "__main__":
    compile_core(Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__))
