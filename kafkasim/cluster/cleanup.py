"""What the warden runs should we die while a run is under way on somebody's cluster: our topics and groups go.

python -m kafkasim.cluster.cleanup BOOTSTRAP TOPIC… -- GROUP…
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kafkasim.cluster.admin import Admin


def command(bootstrap: str, topics: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The command that removes these."""
    return [sys.executable, "-m", __name__, bootstrap, *topics, "--", *groups]


def main(arguments: Sequence[str]) -> None:
    """Remove them, as far as they are there."""
    bootstrap, *names = arguments
    middle = names.index("--")
    admin = Admin(bootstrap)
    try:
        admin.forget(names[:middle], names[middle + 1 :])
    finally:
        admin.close()


if __name__ == "__main__":
    main(sys.argv[1:])
