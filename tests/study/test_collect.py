"""The loop that runs a study: each task once, in rounds where `until` asks, and whatever fails, what is done is kept."""

import dataclasses
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from study.small_studies import finished, made_up_rows, small_study

from kafkasim import Scenario, run
from kafkasim.output_files import OutputError
from kafkasim.scenario_file import ScenarioError
from kafkasim.study import collect as collecting
from kafkasim.study import work
from kafkasim.study.agenda import Agenda
from kafkasim.study.axes import Point
from kafkasim.study.collect import Progress, RunError, collect
from kafkasim.study.executors import serial
from kafkasim.study.pace import CHUNK_SECONDS, LARGEST_CHUNK, Pace
from kafkasim.study.results import Results
from kafkasim.study.stopping import enough, next_question
from kafkasim.study.store import InMemory
from kafkasim.study.study import Study, Until


class MadeUp(Executor):
    """Makes no runs: rows of `made_up_rows`; the chunks end in an order of its own."""

    _max_workers = 3

    def __init__(self, study: Study, order: Callable[[int], int] = lambda _: 0) -> None:
        self.study, self.order = study, order
        self.waiting: list[tuple[Future[work.Made], work.Chunk]] = []
        self.sizes: list[int] = []
        self.most_waiting = 0

    def submit(self, _: object, /, chunk: work.Chunk) -> Future[work.Made]:  # type: ignore[override]
        future: Future[work.Made] = Future()
        self.sizes.append(chunk.runs)
        self.waiting.append((future, chunk))
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        return future

    def finish_one(self) -> None:
        future, chunk = self.waiting.pop(self.order(len(self.waiting)))
        rows = [made_up_rows(self.study, piece.point.index)[run_] for piece in chunk.pieces for run_ in piece.runs]
        future.set_result(work.Made(tuple(rows), 0.3 * len(rows)))


def collect_made_up(study: Study, monkeypatch: pytest.MonkeyPatch, executor: MadeUp | None = None, **options) -> InMemory:
    """The store after collecting; whenever the loop waits, one chunk ends."""
    workers, store, really_wait = executor or MadeUp(study), InMemory(study), collecting.wait

    def wait_for_one(futures: list[Future[work.Made]], *_: object, **__: object):
        workers.finish_one()
        return really_wait(futures, 0)

    with monkeypatch.context() as patch:
        patch.setattr(collecting, "wait", wait_for_one)
        collect(study, store, workers, **options)
    return store


# ---------------------------------------------------------------------------------------------------- each task once


def test_a_study_in_memory_has_every_run_of_every_point_in_order():
    study = small_study(points=2, runs=3)
    outcome = collect(study, None, serial())
    rows = list(outcome.store.rows())
    assert [(row["point"], row["run"], row["seed"]) for row in rows] == [(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 1), (1, 1, 2), (1, 2, 3)]
    assert (outcome.made, outcome.left, outcome.points_done, outcome.points, outcome.interrupted) == (6, 0, 2, 2, False)
    assert rows[4]["latency_ms.p99"] == run(study.scenario.with_(study.points[1].changes), 2).latency_ms["p99"]


def test_any_executor_will_do(tmp_path: Path):
    study = small_study(points=3, runs=2)
    with Results.open(tmp_path / "threads", study) as results, ThreadPoolExecutor(2) as threads:
        collect(study, results, threads)
    assert (tmp_path / "threads/results.csv").read_bytes() == finished(study, tmp_path / "serial")


def test_a_study_that_is_complete_makes_nothing_again(tmp_path: Path):
    study = small_study(points=2, runs=2)
    whole = finished(study, tmp_path)
    (tmp_path / "results.csv").unlink()
    with Results.open(tmp_path, study, resume=True) as results:
        assert collect(study, results, serial()).made == 0
    assert (tmp_path / "results.csv").read_bytes() == whole


def test_the_parts_of_two_machines_are_the_study_and_share_no_point(monkeypatch: pytest.MonkeyPatch):
    study = small_study(points=7)
    one, two = (collect_made_up(study, monkeypatch, part=(part, 2)) for part in (1, 2))
    assert {row["point"] for row in one.rows()} == {0, 2, 4, 6}
    assert {row["point"] for row in two.rows()} == {1, 3, 5}
    assert one.tally.runs + two.tally.runs == 35


def test_what_is_missing_in_the_middle_is_made_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    study = small_study()
    agenda = Agenda(study, store := InMemory(study))
    store.add([row for point in range(4) for row in made_up_rows(study, point) if (point, row["run"]) not in {(1, 2), (3, 0), (3, 4)}])
    assert [(piece.point.index, piece.runs) for piece in agenda.take(100)] == [(1, (2,)), (3, (0, 4))]
    assert agenda.take(100) == ()


def test_a_chunk_has_no_more_runs_than_asked_for_and_the_rest_comes_next():
    agenda = Agenda(study := small_study(), InMemory(study))
    chunks = [[(piece.point.index, piece.runs) for piece in agenda.take(7)] for _ in range(3)]
    assert chunks[0] == [(0, (0, 1, 2, 3, 4)), (1, (0, 1))]
    assert chunks[1] == [(1, (2, 3, 4)), (2, (0, 1, 2, 3))]
    assert chunks[2] == [(2, (4,)), (3, (0, 1, 2, 3, 4))]


# ---------------------------------------------------------------------------------------------------- until


FAILING = Until("failing", "loss", 3, step=4)  # made-up rows: seeds 1, 4, 7, 10 … lose something


def test_until_ends_a_point_after_whole_rounds_whoever_was_faster(monkeypatch: pytest.MonkeyPatch):
    study = small_study(points=5, runs=30, until=(FAILING,))
    first = collect_made_up(study, monkeypatch)
    last = collect_made_up(study, monkeypatch, MadeUp(study, order=lambda number: number - 1))
    assert list(first.rows()) == list(last.rows())
    assert [len(first.rows_of(point)) for point in range(5)] == [8] * 5  # runs 0, 3 and 6 lose: known after the second round


def test_until_is_the_same_when_resumed_in_the_middle_of_a_round(monkeypatch: pytest.MonkeyPatch):
    study = small_study(points=3, runs=30, until=(FAILING,))
    whole = collect_made_up(study, monkeypatch)
    begun = InMemory(study)
    begun.add([made_up_rows(study, 0)[number] for number in (0, 1, 2, 3, 5)] + made_up_rows(study, 1)[:8] + made_up_rows(study, 2)[1:3])
    agenda = Agenda(study, begun)
    assert [(piece.point.index, piece.runs) for piece in agenda.take(100)] == [(0, (4, 6, 7)), (2, (0, 3))]
    executor = serial()
    monkeypatch.setattr(work, "_rows_of", lambda _, piece: (made_up_rows(study, piece.point.index)[number] for number in piece.runs))
    collect(study, begun, executor)
    assert list(begun.rows()) == list(whole.rows())


def test_without_enough_failing_runs_a_point_gets_all_its_runs(monkeypatch: pytest.MonkeyPatch):
    study = small_study(points=2, runs=10, until=(Until("failing", "loss", 99, step=4),))
    told: list[Progress] = []
    assert collect_made_up(study, monkeypatch, progress=told.append).tally.runs == 20
    assert (told[-1].runs_done, told[-1].runs) == (20, 20)


def test_progress_counts_what_until_spares_as_not_to_be_made(monkeypatch: pytest.MonkeyPatch):
    study = small_study(points=5, runs=30, until=(FAILING,))
    told: list[Progress] = []
    collect_made_up(study, monkeypatch, progress=told.append)
    assert (told[0].points_done, told[0].points, told[0].runs_done, told[0].runs, told[0].seconds_left) == (0, 5, 0, 150, None)
    assert (told[-1].points_done, told[-1].runs_done, told[-1].runs, told[-1].seconds_left) == (5, 40, 40, 0.0)
    assert (told[-1].tally.runs, told[-1].tally.loss, told[-1].tally.duplication) == (40, 15, 0)


def test_rules_are_asked_after_whole_steps_only():
    rows = made_up_rows(study := small_study(runs=12), 0)
    assert study.runs == 12
    assert [count for count in range(13) if enough((FAILING,), rows[:count])] == [8, 12]
    assert [next_question((FAILING, Until("width", "loss", 0.1, step=10)), after, 25) for after in (0, 4, 8, 10, 24)] == [4, 8, 10, 12, 25]


# ---------------------------------------------------------------------------------------------------- what goes wrong


def break_seed(monkeypatch: pytest.MonkeyPatch, seed_: int, error: BaseException) -> None:
    def run_or_break(scenario: Scenario, seed: int) -> object:
        if seed == seed_:
            raise error
        return run(scenario, seed)

    monkeypatch.setattr(work, "run_once", run_or_break)


def test_a_run_that_fails_stops_the_sweep_with_its_command_and_what_is_done_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study = small_study()
    whole = finished(study, tmp_path / "whole")
    with monkeypatch.context() as patch, Results.open(tmp_path / "broken", study) as results:
        break_seed(patch, 3, ZeroDivisionError("of seed 3"))
        with pytest.raises(RunError) as error:
            collect(study, results, serial())
    assert str(error.value) == f"point 0, run 2: ZeroDivisionError: of seed 3. This repeats it: {error.value.command}"
    assert error.value.command.startswith("kafkasim run zombie-leader --seed 3 --set ")
    assert (tmp_path / "broken/results.csv").read_bytes() == b"".join(whole.splitlines(keepends=True)[:3])
    with Results.open(tmp_path / "broken", study, resume=True) as results:
        collect(study, results, serial())
    assert (tmp_path / "broken/results.csv").read_bytes() == whole


def test_a_point_that_is_refused_stops_the_sweep_with_the_sentence_of_the_refusal():
    study = dataclasses.replace(small_study(), points=[Point(0, {"producers.shop.config.acks": "some"})])
    with pytest.raises(
        RunError, match=r"point 0, run 0: .*producers\.shop\.config\.acks.*some.* This repeats it: kafkasim run zombie-leader"
    ):
        collect(study, None, serial())


def test_ctrl_c_keeps_what_is_done_and_says_how_much_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    study = small_study()
    with Results.open(tmp_path, study) as results:
        break_seed(monkeypatch, 4, KeyboardInterrupt())
        outcome = collect(study, results, serial())
    assert (outcome.interrupted, outcome.made, outcome.left, outcome.points_done) == (True, 3, 17, 0)
    assert (tmp_path / "results.csv").read_bytes().count(b"\n") == 4


def test_ctrl_c_while_rows_are_being_written_down_comes_when_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Impatient(Results):
        def _append(self, data: bytes) -> None:
            super()._append(data)
            if self.tally.runs in {3, 4}:
                signal.raise_signal(signal.SIGINT)

    study = small_study()
    with Impatient.open(tmp_path, study) as results:
        outcome = collect(study, results, serial())
    rows = (tmp_path / "results.jsonl").read_bytes().count(b"\n")
    assert (outcome.interrupted, outcome.made, outcome.left) == (True, rows, 20 - rows)
    assert (tmp_path / "results.csv").read_bytes().count(b"\n") == rows + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_full_disk_stops_the_sweep_with_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    study = small_study()
    with Results.open(tmp_path, study) as results:
        monkeypatch.setattr("os.write", full)
        with pytest.raises(OutputError, match="cannot be written: No space left on device"):
            collect(study, results, serial())
        monkeypatch.undo()
    assert (tmp_path / "results.jsonl").read_bytes() == b""


def test_workers_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(work, "version", lambda: "0.0.9+0123456789")
    with pytest.raises(ScenarioError, match=r"workers: a worker has another kafkasim: the rows are of kafkasim 0\.0\.9"):
        collect(small_study(), None, serial())


def test_an_executor_that_fails_is_told_with_the_run_that_it_was_given():
    class Useless(Executor):
        def submit(self, *_: object, **__: object) -> Future[work.Made]:  # type: ignore[override]
            future: Future[work.Made] = Future()
            future.set_exception(ModuleNotFoundError("No module named 'kafkasim'"))
            return future

    with pytest.raises(
        ScenarioError, match=r"workers: ModuleNotFoundError: No module named 'kafkasim'\. The first of those runs: kafkasim run"
    ):
        collect(small_study(), None, Useless())


def test_workers_that_give_up_are_one_sentence():
    class Gone(Executor):
        def submit(self, *_: object, **__: object) -> Future[work.Made]:  # type: ignore[override]
            future: Future[work.Made] = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(
        ScenarioError, match=r"workers: they gave their runs up, .* scheduler of a cluster has gone\. The first of those runs:"
    ):
        collect(small_study(), None, Gone())


# ---------------------------------------------------------------------------------------------------- chunks


def test_chunks_grow_towards_a_second_of_work_and_shrink_towards_the_end():
    pace = Pace(workers=2)
    assert pace.chunk(10_000) == 1
    sizes = []
    for _ in range(12):
        sizes.append(pace.chunk(10_000))
        pace.took(sizes[-1], 0.01 * sizes[-1])
    assert sizes[:4] == [1, 2, 4, 8]
    assert sizes[-1] in {int(CHUNK_SECONDS / 0.01) - 1, int(CHUNK_SECONDS / 0.01)}
    assert [pace.chunk(left) for left in (60, 6, 1)] == [10, 1, 1]


def test_slow_runs_go_one_by_one_and_the_fastest_still_come_back_now_and_then():
    slow, fast = Pace(2), Pace(2)
    slow.took(1, 40.0)
    for size in (1, *(2**power for power in range(12))):
        fast.took(size, 1e-9)
    assert slow.chunk(10_000) == 1
    assert fast.chunk(100_000) == LARGEST_CHUNK


def test_never_more_than_two_chunks_a_worker_are_in_flight(monkeypatch: pytest.MonkeyPatch):
    study = small_study(points=20)
    executor = MadeUp(study)
    collect_made_up(study, monkeypatch, executor=executor)
    assert executor.most_waiting == 6
    assert sum(executor.sizes) == 100
