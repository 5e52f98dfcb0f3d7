"""docs/REPORT.md explains every key of a report, and no other."""

import re
from dataclasses import fields

from blocks import ROOT, report

from kafkasim.measures import GroupCounts
from kafkasim.report import Report

TEXT = (ROOT / "docs/REPORT.md").read_text(encoding="utf-8")


def explained(section: str) -> set[str]:
    """The keys in the first column of a section's tables."""
    body = TEXT.split(f"## {section}\n")[1].split("\n## ")[0]
    return {key for row in re.findall(r"^\| (`.*?) \|", body, flags=re.MULTILINE) for key in re.findall(r"`([\w.]+)`", row)}


def test_every_key_of_a_report_is_explained_and_no_other() -> None:
    assert explained("The report") == {part.name for part in fields(Report)} | {"violated"}


def test_those_are_the_keys_of_the_json() -> None:
    assert explained("The report") == set(report("calm"))


def test_every_count_of_a_group_is_explained_and_no_other() -> None:
    assert explained("Each of `groups`") == {part.name for part in fields(GroupCounts)}


def test_the_sections_of_one_entry_are_those_of_the_json() -> None:
    run = report("zombie-leader")
    for key in ("verdicts", "not_promised", "findings", "faults_applied"):
        assert explained(f"Each of `{key}`") == set(run[key][0]), key


def test_the_identity_it_states_holds() -> None:
    assert "`sent` = `acked` + `failed` + `unresolved`" in TEXT
    run = report("retries-exhausted-drop")
    assert run["sent"] == run["acked"] + run["failed"] + run["unresolved"]
    assert run["failed"] > 0
