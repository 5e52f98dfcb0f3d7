"""A sweep in a process of its own, to be interrupted: FOLDER [--resume]. It is a script as a user would write one."""

import sys
from pathlib import Path

from study.small_studies import small_study

from kafkasim.study.collect import collect
from kafkasim.study.executors import processes
from kafkasim.study.results import Results


def main() -> int:
    study = small_study(points=40, runs=5)
    with Results.open(Path(sys.argv[1]), study, resume="--resume" in sys.argv, say=print) as results, processes(2) as executor:
        outcome = collect(study, results, executor, say=print)
    print(f"{outcome.made} made, {outcome.left} left")
    return 130 if outcome.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
