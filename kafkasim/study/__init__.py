"""Parameter studies: a scenario, axes along which it varies, many seeds at each point, and what their outcomes say together.

    axes, study                       what is varied, and one study as data
    ranges, vary                      axes as people write them
    expressions, places, constraints  conditions that points must meet
    designs, planning, until          which points are looked at, which are dropped, when one has enough runs
    study_file, description           studies from YAML or options; a study as plain JSON beside its rows
    task, results                     one run to be made; the append-only file of what has been made
    executors, collect                who makes the runs, and the loop that keeps them busy, resumes and stops
    table, statistics, sensitivity    the rows by point, and what may be said of them

The package is called `study` because the function is called `sweep` (docs/decisions/0012-studies.md).
"""
