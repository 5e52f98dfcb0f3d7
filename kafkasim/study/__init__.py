"""Parameter studies: a scenario, axes along which it varies, many seeds at each point, and what their outcomes say together.

    axes, constraints, designs      what is varied, and which points are looked at
    study, study_file               one study as data, and how it is read from YAML or the command line
    task, results                   one run to be made; the append-only file of what has been made
    executors, collect              who makes the runs, and the loop that keeps them busy, resumes and stops
    table, statistics, sensitivity  the rows by point, and what may be said of them

The package is called `study` because the function is called `sweep` (docs/decisions/0012-studies.md).
"""
