"""The folder of a study: nothing lost, nothing twice, and what does not belong there refused in a sentence."""

import csv
import dataclasses
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from study.small_studies import ACKS, made_up_rows, small_study

from kafkasim.output_files import OutputError
from kafkasim.scenario_file import ScenarioError
from kafkasim.study import reading
from kafkasim.study.results import Results, merge
from kafkasim.study.store import InMemory, Tally
from kafkasim.study.study import Study, Until
from kafkasim.study.task import version


def fill(folder: Path, study: Study, points: list[int]) -> bytes:
    """A folder with the rows of these points, added in this order."""
    with Results.open(folder, study) as results:
        for point in points:
            results.add(made_up_rows(study, point))
        results.derive()
    return (folder / "results.csv").read_bytes()


def refused(folder: Path, study: Study, resume: bool = True) -> str:
    with pytest.raises((ScenarioError, OutputError)) as error:
        Results.open(folder, study, resume=resume).close()
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


# ---------------------------------------------------------------------------------------------------- rows and what is derived


def test_the_csv_is_in_the_order_of_tasks_whatever_the_order_of_completion(tmp_path: Path):
    study = small_study()
    assert fill(tmp_path / "a", study, [0, 1, 2, 3]) == fill(tmp_path / "b", study, [2, 0, 3, 1])
    with (tmp_path / "b/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["point"], row["run"]) for row in rows] == [(str(point), str(number)) for point in range(4) for number in range(5)]
    assert rows[0]["loss_rate"] == "0.30000000000000004"
    assert (rows[0]["violated"], rows[1]["violated"], rows[1]["latency_ms.p99"]) == ("true", "false", "")


def test_rows_come_back_as_they_were_added(tmp_path: Path):
    study = small_study()
    fill(tmp_path, study, [3, 1])
    with Results.open(tmp_path, study, resume=True) as results:
        assert list(results.rows()) == made_up_rows(study, 1) + made_up_rows(study, 3)
        assert results.rows_of(3) == made_up_rows(study, 3)
        assert results.rows_of(0) == []
        assert [bool(results.held(point).all()) for point in range(4)] == [False, True, False, True]
        assert results.tally == Tally(runs=10, loss=4, silent_loss=0, duplication=0, violated=4)


def test_points_with_other_columns_share_one_header(tmp_path: Path):
    study = small_study()
    with Results.open(tmp_path, study) as results:
        results.add([row | {"groups.audit.lost": 1} for row in made_up_rows(study, 1)])
        results.add(made_up_rows(study, 0))
        assert results.columns()[-2:] == ("groups.audit.lost", "command")
        results.derive()
    with (tmp_path / "results.csv").open() as file:
        assert [row["groups.audit.lost"] for row in csv.DictReader(file)] == [""] * 5 + ["1"] * 5


def test_parquet_has_types_and_the_same_rows(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `sweep` is not installed")
    study = small_study(acks=(0, "all"))
    with Results.open(tmp_path, study) as results:
        for point in (3, 0, 1, 2):
            results.add(made_up_rows(study, point))
        results.derive_parquet()
        expected = list(results.rows())
    table = parquet.read_table(tmp_path / "results.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert [types[name] for name in ("point", "loss_rate", "violated", "latency_ms.p99", ACKS)] == [
        "int64",
        "double",
        "bool",
        "double",
        "string",
    ]
    assert table.to_pylist() == [row | {ACKS: str(row[ACKS])} for row in expected]


def test_without_the_extra_parquet_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # its import fails
    with Results.open(tmp_path, study := small_study()) as results:
        results.add(made_up_rows(study, 0))
        with pytest.raises(OutputError, match=r"Parquet needs the extra `sweep`: pip install 'kafkasim\[sweep\]'"):
            results.derive_parquet()


def test_memory_stays_flat_in_the_number_of_rows(tmp_path: Path):
    study = small_study(points=20, runs=400)
    rows = {point: made_up_rows(study, point) for point in range(20)}
    with Results.open(tmp_path, study) as results:
        results.add(rows[0][:1])
        tracemalloc.start()
        for first in range(0, 400, 50):
            for point in range(20):
                results.add([row for row in rows[point][first : first + 50] if (point, row["run"]) != (0, 0)])
        results.derive()
        held, most = tracemalloc.get_traced_memory()
    with Results.open(tmp_path, study, resume=True) as again:
        held_again = tracemalloc.get_traced_memory()[0] - held
        assert again.tally == results.tally
    tracemalloc.stop()
    assert results.tally.runs == 8_000
    assert max(held, held_again) < 20 * 8_000  # bytes; 8 of them say where a row begins
    assert most < 1_500_000  # the rows themselves have 4 MB


# ---------------------------------------------------------------------------------------------------- what a crash leaves behind


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_cut_off_and_said_and_what_is_missing_can_be_added_again(tmp_path: Path, cut: int):
    study = small_study()
    whole = fill(tmp_path / "whole", study, [0, 1, 2, 3])
    fill(tmp_path / "torn", study, [0, 1])
    path = tmp_path / "torn/results.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    said: list[str] = []
    with Results.open(tmp_path / "torn", study, resume=True, say=said.append) as results:
        assert int(results.held(1).sum()) == 4
        for point in range(4):
            results.add(made_up_rows(study, point))
        results.derive()
    assert len(said) == 1
    assert "its last line has no end" in said[0]
    assert (tmp_path / "torn/results.csv").read_bytes() == whole


@pytest.mark.parametrize("damage", [b"{", b"[]\n", b'{"task": 1}\n', b"\0\0\0\n", b"\xff\xfe\n"])
def test_a_damaged_line_in_the_middle_is_named_with_its_number(tmp_path: Path, damage: bytes):
    study = small_study()
    fill(tmp_path, study, [0])
    path = tmp_path / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    assert refused(tmp_path, study).startswith(f"{path}:3: this line is damaged")


class FullDisk:
    """os.write on a disk with so many bytes left."""

    def __init__(self, left: int, write=os.write) -> None:
        self.left, self.write = left, write

    def __call__(self, handle: int, data: memoryview) -> int:
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.write(handle, data[: self.left])
        self.left -= written
        return written


def test_a_full_disk_costs_the_chunk_in_flight_and_the_file_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study = small_study()
    whole = fill(tmp_path / "whole", study, [0, 1, 2, 3])
    with Results.open(tmp_path / "full", study) as results:
        results.add(made_up_rows(study, 0))
        before = (tmp_path / "full/results.jsonl").read_bytes()
        monkeypatch.setattr(os, "write", FullDisk(700))
        with pytest.raises(OutputError, match=r"results\.jsonl cannot be written: No space left on device.* --resume$"):
            results.add(made_up_rows(study, 1))
        assert (tmp_path / "full/results.jsonl").read_bytes() == before
        monkeypatch.undo()
        results.add(made_up_rows(study, 2))
    with Results.open(tmp_path / "full", study, resume=True) as results:
        for point in range(4):
            results.add(made_up_rows(study, point))
        results.derive()
    assert (tmp_path / "full/results.csv").read_bytes() == whole


def test_ctrl_c_in_the_middle_of_a_line_leaves_no_half_line_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def write_some(handle: int, data: memoryview, write=os.write) -> int:
        write(handle, data[:100])
        raise KeyboardInterrupt

    study = small_study()
    with Results.open(tmp_path, study) as results:
        monkeypatch.setattr(os, "write", write_some)
        with pytest.raises(KeyboardInterrupt):
            results.add(made_up_rows(study, 0))
        monkeypatch.undo()
        results.add(made_up_rows(study, 1))
        assert list(results.rows()) == made_up_rows(study, 1)


# ---------------------------------------------------------------------------------------------------- refusals


def test_a_folder_that_cannot_be_made_and_a_file_in_its_place_are_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file", small_study()).endswith("file is a file; a sweep keeps its results in a folder")
    assert refused(tmp_path / "file/inside", small_study()).endswith("inside cannot be made: Not a directory")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_files(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))  # root, who may run this, would be let in

    monkeypatch.setattr("tempfile.TemporaryFile", no_files)
    assert refused(tmp_path, small_study()).endswith("results.jsonl cannot be written: Permission denied")


def test_rows_that_are_there_are_kept_unless_going_on_is_asked_for(tmp_path: Path):
    study = small_study()
    fill(tmp_path, study, [0, 1])
    sentence = refused(tmp_path, study, resume=False)
    assert sentence == f"{tmp_path}: holds 10 of 20 runs of this study already: go on with --resume, or choose another folder"


def test_a_csv_that_no_sweep_wrote_is_not_overwritten(tmp_path: Path):
    (tmp_path / "results.csv").write_text("mine")
    assert "was written by no sweep" in refused(tmp_path, small_study())
    assert (tmp_path / "results.csv").read_text() == "mine"


def test_another_study_is_refused_with_what_differs(tmp_path: Path):
    study = small_study()
    fill(tmp_path, study, [0])

    def said(other: Study) -> str:
        sentence = refused(tmp_path, other)
        assert sentence.startswith(f"{tmp_path}: holds the results of another study (")
        return sentence.removesuffix("; choose another folder").partition(" (")[2]

    slower = study.scenario.with_({"producers.shop.rate": 100})
    assert "rate was 500; is 100" in said(dataclasses.replace(study, scenario=slower))
    assert "seed: was 1; is 7" in said(dataclasses.replace(study, scenario=study.scenario.with_({"seed": 7})))
    assert said(small_study(acks=(0, "all"))) == "axis acks: was 0, 1; is 0, all)"
    assert "this is run 4 of its point, counted from 0: ask for more runs than 4" in refused(tmp_path, small_study(runs=4))
    assert said(small_study(until=(Until("failing", "loss", 3),))) == "until: was all runs; is failing(loss) >= 3)"
    assert said(dataclasses.replace(study, points=study.points[::-1])) == "its points are others, along the same axes)"


def test_more_runs_of_each_point_go_on_where_fewer_ended(tmp_path: Path):
    fill(tmp_path, small_study(runs=3), [0, 1, 2, 3])
    with Results.open(tmp_path, small_study(runs=5), resume=True) as results:
        assert results.held(2).tolist() == [True, True, True, False, False]
    with Results.open(tmp_path, small_study(runs=3), resume=True) as results:  # no run beyond these has been made yet
        assert results.held(2).all()
    assert "this is run 2 of its point, counted from 0: ask for more runs than 2" in refused(tmp_path, small_study(runs=2))


def test_rows_of_another_version_are_refused_with_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study = small_study()
    fill(tmp_path, study, [0])
    path = tmp_path / "results.jsonl"
    path.write_text(path.read_text().replace(version(), "0.0.9+0123456789"))
    assert refused(tmp_path, study) == (
        f"{path}:1: the rows are of kafkasim 0.0.9+0123456789, and this is {version()}: rows of two versions do not go together."
        " Finish with that version, or begin anew in another folder"
    )
    description = json.loads((tmp_path / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps(description | {"version": "0.0.8+0123456789"}))
    assert "the rows are of kafkasim 0.0.8+0123456789, and this is" in refused(tmp_path, study)


def test_rows_of_another_study_that_were_copied_in_are_refused_with_their_line(tmp_path: Path):
    study, other = small_study(), small_study(acks=("all", 1))
    fill(tmp_path / "a", study, [0])
    fill(tmp_path / "b", other, [0])
    path = tmp_path / "a/results.jsonl"
    path.write_bytes(path.read_bytes() + (tmp_path / "b/results.jsonl").read_bytes())
    assert refused(tmp_path / "a", study).startswith(f"{path}:6: this row is not of this study: run 0 of point 0 is another task than")
    path.write_text(path.read_text().splitlines()[0].replace('"point":0', '"point":99') + "\n")
    assert refused(tmp_path / "a", study) == f"{path}:1: this row is of run 0 of point 99, which this study does not have"


def test_rows_without_a_description_of_their_study_are_refused(tmp_path: Path):
    study = small_study()
    fill(tmp_path, study, [0])
    (tmp_path / "study.json").write_text("{")
    assert "study.json: cannot be read as the description of a study" in refused(tmp_path, study)
    (tmp_path / "study.json").unlink()
    assert "holds rows, but no study.json" in refused(tmp_path, study)


def test_a_folder_without_rows_is_free_for_any_study(tmp_path: Path):
    Results.open(tmp_path, small_study()).close()
    Results.open(tmp_path, small_study(runs=2)).close()
    assert json.loads((tmp_path / "study.json").read_text())["runs"] == 2


def test_two_sweeps_into_one_folder_at_once_are_refused_and_the_lock_dies_with_its_process(tmp_path: Path):
    study = small_study()
    with Results.open(tmp_path, study):
        assert refused(tmp_path, study).endswith("is in use: another sweep writes its results there; wait for it, or choose another folder")
    script = (
        "import sys, time; from study.small_studies import *; r = Results.open(Path(sys.argv[1]), small_study());"
        "print(1, flush=True); time.sleep(60)"
    )
    folders = os.pathsep.join([str(Path(__file__).parent.parent), str(Path(reading.__file__).parent.parent.parent)])
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": folders}
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        assert "is in use" in refused(tmp_path, study)
        other.kill()
    Results.open(tmp_path, study).close()


# ---------------------------------------------------------------------------------------------------- two machines


def test_the_rows_of_two_machines_make_one_table(tmp_path: Path):
    study = small_study()
    whole = fill(tmp_path / "whole", study, [0, 1, 2, 3])
    fill(tmp_path / "a", study, [0, 2])
    fill(tmp_path / "b", study, [1, 2])
    fill(tmp_path / "c", study, [3])
    assert merge(tmp_path / "a", [tmp_path / "b", tmp_path / "c"], study) == 10
    assert (tmp_path / "a/results.csv").read_bytes() == whole
    assert merge(tmp_path / "a", [tmp_path / "b"], study) == 0


def test_rows_may_also_be_merged_by_hand_in_any_order_and_twice(tmp_path: Path):
    study = small_study()
    whole = fill(tmp_path / "whole", study, [0, 1, 2, 3])
    lines = (tmp_path / "whole/results.jsonl").read_bytes().splitlines(keepends=True)
    fill(tmp_path / "a", study, [2])
    shuffled = [*lines, *lines]
    random.Random(1).shuffle(shuffled)
    (tmp_path / "a/results.jsonl").write_bytes(b"".join(shuffled))
    with Results.open(tmp_path / "a", study, resume=True) as results:
        results.derive()
    assert (tmp_path / "a/results.csv").read_bytes() == whole


def test_two_machines_that_disagree_about_a_run_are_told_apart(tmp_path: Path):
    study = small_study()
    fill(tmp_path / "a", study, [0, 1])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    path = tmp_path / "b/results.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:7], lines[7].replace('"sent":40', '"sent":41'), *lines[8:]]))
    with pytest.raises(ScenarioError) as error:
        merge(tmp_path / "a", [tmp_path / "b"], study)
    sentence = str(error.value)
    assert sentence.startswith(f"{tmp_path / 'a/results.jsonl'}: two machines disagree about run 2 of point 1 (task ")
    assert f"the other is {path}:8): sent is 40 and 41." in sentence
    assert "kafkasim run zombie-leader --seed 3" in sentence


def test_what_the_scenarios_file_is_called_on_another_machine_is_no_disagreement(tmp_path: Path):
    study = small_study()
    fill(tmp_path / "a", study, [0])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    path = tmp_path / "b/results.jsonl"
    path.write_text(path.read_text().replace("kafkasim run zombie-leader", "kafkasim run copy/of/zombie-leader.yaml"))
    assert merge(tmp_path / "a", [tmp_path / "b"], study) == 0


def test_what_is_no_folder_of_this_study_cannot_be_merged(tmp_path: Path):
    study = small_study()
    fill(tmp_path / "a", study, [0])
    fill(tmp_path / "b", small_study(acks=("all", 1)), [0])
    with pytest.raises(ScenarioError, match=r"b: holds the results of another study \(axis acks: was all, 1; is 0, 1\)"):
        merge(tmp_path / "a", [tmp_path / "b"], study)
    with pytest.raises(ScenarioError, match=r"c: holds no results of a sweep: there is no results\.jsonl"):
        merge(tmp_path / "a", [tmp_path / "c"], study)


def test_memory_keeps_rows_as_a_folder_does():
    study = small_study()
    store = InMemory(study)
    store.add(made_up_rows(study, 2))
    store.add(made_up_rows(study, 0)[:3])
    store.add(made_up_rows(study, 0))
    assert list(store.rows()) == made_up_rows(study, 0) + made_up_rows(study, 2)
    assert store.tally == Tally(10, 4, 0, 0, 4)
    with pytest.raises(ScenarioError, match="two machines disagree about run 0 of point 2"):
        store.add([made_up_rows(study, 2)[0] | {"sent": 1}])
