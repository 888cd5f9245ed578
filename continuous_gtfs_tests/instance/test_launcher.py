"""The forking launcher: runs succeed, end when told, and are known to have died; whatever fails goes the stock way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import psutil
import pytest
from dagster import DagsterRunStatus
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus
from dagster._serdes import serialize_value

from continuous_gtfs.demo import commands
from continuous_gtfs.instance.forked_run import WORKER_TAG, Worker, started_at
from continuous_gtfs.instance.launcher import WarmRunLauncher
from continuous_gtfs.instance.warm import RUNS_THAT_DO_NOT_WAIT, NotWarmError, WarmProcess
from continuous_gtfs_tests.instance.station import Station, children_of, code_server, wait_for


def test_a_run_is_forked_from_the_warm_process(station: Station) -> None:
    warm = station.warm_up()
    run = station.ended(station.launch("say_job"))
    assert run.status is DagsterRunStatus.SUCCESS
    worker = station.worker(run)
    assert station.said() == f"hello {worker.pid}"
    assert worker.pid != warm
    wait_for(lambda: not worker.is_alive, what="the end of its process")


def test_the_first_run_does_not_wait_for_the_warm_process(station: Station) -> None:
    run = station.ended(station.launch("say_job"))
    assert run.status is DagsterRunStatus.SUCCESS
    assert WORKER_TAG not in run.tags


def test_of_many_runs_at_once_only_the_first_are_not_forked(station: Station) -> None:
    """All started without the warm process they would all load the code, and keep it from its own."""
    runs = []
    count = RUNS_THAT_DO_NOT_WAIT + 3
    threads = [threading.Thread(target=lambda: runs.append(station.launch("quiet_job"))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = [station.ended(run) for run in runs]
    assert [run.status for run in ended] == [DagsterRunStatus.SUCCESS] * count
    assert sum(WORKER_TAG in run.tags for run in ended) >= 3


def test_a_run_of_another_module_is_started_by_its_code_server(station: Station) -> None:
    station.warm_up()
    station.launcher._modules = frozenset({"another_module"})
    run = station.ended(station.launch("say_job"))
    assert (run.status, WORKER_TAG in run.tags) == (DagsterRunStatus.SUCCESS, False)


@pytest.mark.parametrize(
    "script", [commands.webserver(host="", port=1, workspace="")[0], "dagster_webserver/__main__.py"]
)
def test_a_run_that_is_started_in_the_web_interface_has_the_settings_of_its_code_server(
    script: str, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web server has not those of the code: not the agency's, and no token."""
    station.warm_up()
    monkeypatch.setattr(sys, "argv", [f"/venv/bin/{script}", "-h", "0.0.0.0"])
    run = station.ended(station.launch("say_job"))
    assert (run.status, WORKER_TAG in run.tags) == (DagsterRunStatus.SUCCESS, False)


def test_what_a_run_prints_is_kept(station: Station) -> None:
    station.warm_up()
    run = station.ended(station.launch("say_job"))
    manager = station.instance.compute_log_manager
    (step,) = [event.step_key for event in station.instance.all_logs(run.run_id) if event.step_key][:1]
    captured = next(
        entry.dagster_event.logs_captured_data
        for entry in station.instance.all_logs(run.run_id)
        if entry.dagster_event is not None and entry.dagster_event.event_type_value == "LOGS_CAPTURED"
    )
    assert step == "say"
    data = manager.get_log_data([run.run_id, "compute_logs", captured.file_key])
    assert b"told on standard output" in (data.stdout or b"")


def test_a_failed_step_fails_the_run_and_a_retry_policy_holds(station: Station) -> None:
    station.warm_up()
    failed = station.ended(station.launch("fail_job"))
    assert failed.status is DagsterRunStatus.FAILURE
    assert "as it was told to" in station.messages(failed)
    assert station.ended(station.launch("retry_job")).status is DagsterRunStatus.SUCCESS


def test_a_run_is_terminated_from_another_process(station: Station) -> None:
    station.warm_up()
    run = station.launch("hang_job")
    wait_for(station.hanging, what="the run to hang")
    worker = station.worker(run)
    assert station.another_instance().run_launcher.terminate(run.run_id)
    assert station.ended(run).status is DagsterRunStatus.CANCELED
    wait_for(lambda: not worker.is_alive, what="the end of its process")


def test_a_run_on_another_machine_ends_by_itself_when_it_is_told_to(station: Station) -> None:
    station.warm_up()
    run = station.launch("hang_job")
    wait_for(station.hanging, what="the run to hang")
    # What a launcher on another machine does: it can write to the database, and reach no process here.
    station.instance.report_run_canceling(station.run(run))
    assert station.ended(run).status is DagsterRunStatus.CANCELED


def test_a_run_that_is_told_to_end_before_it_has_begun_does_nothing(station: Station) -> None:
    station.warm_up()
    (station.folder / "said").unlink()
    run = station.create("say_job")
    station.instance.report_run_canceling(station.run(run))
    with station.workspace.create_request_context() as workspace:
        station.launcher.launch_run(LaunchRunContext(station.run(run), workspace))
    assert station.ended(run).status is DagsterRunStatus.CANCELED
    assert not (station.folder / "said").exists()


def test_a_run_that_is_over_is_not_terminated(station: Station) -> None:
    station.warm_up()
    run = station.ended(station.launch("say_job"))
    assert not station.launcher.terminate(run.run_id)
    assert station.run(run).status is DagsterRunStatus.SUCCESS


def test_a_run_that_is_killed_fails_at_once_and_says_why(station: Station) -> None:
    station.warm_up()
    run = station.launch("hang_job")
    wait_for(station.hanging, what="the run to hang")
    os.kill(station.worker(run).pid, signal.SIGKILL)
    assert station.ended(run).status is DagsterRunStatus.FAILURE
    assert "SIGKILL" in station.messages(run)


def test_monitoring_from_another_process_knows_which_run_is_alive(station: Station) -> None:
    warm = station.warm_up()
    run = station.launch("hang_job")
    wait_for(station.hanging, what="the run to hang")
    worker = station.worker(run)
    monitor = station.another_instance().run_launcher
    assert monitor.supports_check_run_worker_health
    assert monitor.check_run_worker_health(station.run(run)).status is WorkerStatus.RUNNING
    # With its parent gone nobody hears of the run's death: that is what monitoring is for.
    os.kill(warm, signal.SIGKILL)
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: not worker.is_alive, what="the end of its process")
    assert monitor.check_run_worker_health(station.run(run)).status is WorkerStatus.FAILED


def test_a_run_that_died_with_its_code_server_is_known_to_be_dead_once_the_server_is_back(station: Station) -> None:
    station.launcher._modules = frozenset()
    monitor = station.another_instance().run_launcher
    with station.another_code_server() as (elsewhere, port):
        run = elsewhere.launch("hang_job")
        wait_for(station.hanging, what="the run to hang")
        assert monitor.check_run_worker_health(station.run(run)).status is WorkerStatus.RUNNING
    away = monitor.check_run_worker_health(station.run(run))
    assert away.status is WorkerStatus.RUNNING, "the server may be on its way back, with nothing to say against the run"
    assert "no answer" in (away.msg or "")
    with code_server(station.module, port):
        assert monitor.check_run_worker_health(station.run(run)).status is WorkerStatus.FAILED
    station.instance.report_run_failed(station.run(run))


def test_a_pid_that_another_process_has_now_is_not_the_run() -> None:
    here = Worker.this_process("a run")
    assert here.is_alive
    assert not replace(here, started=here.started + "0").is_alive
    assert not replace(here, host="elsewhere").is_here


def test_a_zombie_and_a_process_that_is_gone_are_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        worker = replace(Worker.this_process("a run"), pid=child.pid, started=started_at(child.pid))
        assert worker.is_alive
        child.kill()
        wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, what="a zombie")
        assert not worker.is_alive
    assert not worker.is_alive


def test_a_run_that_repeats_another_is_not_taken_for_that_ones_process(station: Station) -> None:
    station.warm_up()
    first = station.ended(station.launch("say_job"))
    station.launcher._modules = frozenset()
    second = station.launch("hang_job", tags={WORKER_TAG: first.tags[WORKER_TAG]})
    wait_for(station.hanging, what="the run to hang")
    assert station.launcher.check_run_worker_health(station.run(second)).status is WorkerStatus.RUNNING
    assert station.launcher.terminate(second.run_id)
    assert station.ended(second).status is DagsterRunStatus.CANCELED


def test_a_run_goes_on_when_the_warm_process_has_died(station: Station) -> None:
    warm = station.warm_up()
    run = station.launch("hang_job")
    wait_for(station.hanging, what="the run to hang")
    os.kill(warm, signal.SIGKILL)
    wait_for(lambda: station.launcher.warm_pid is None, what="the launcher to notice")
    assert station.worker(run).is_alive
    assert station.launcher.terminate(run.run_id)
    assert station.ended(run).status is DagsterRunStatus.CANCELED


def test_without_its_warm_process_the_launcher_starts_runs_the_stock_way_and_warns(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    warm = station.warm_up()
    os.kill(warm, signal.SIGKILL)
    wait_for(lambda: station.launcher.warm_pid is None, what="the launcher to notice")
    stock = station.ended(station.launch("say_job"))
    assert (stock.status, WORKER_TAG in stock.tags) == (DagsterRunStatus.SUCCESS, False)
    assert any("has ended" in record.message for record in caplog.records if record.levelname == "WARNING")
    again = wait_for(lambda: station.launcher.warm_pid, what="another warm process")
    assert again != warm
    assert WORKER_TAG in station.ended(station.launch("say_job")).tags


def test_changed_code_is_what_the_next_run_executes(station: Station) -> None:
    old = station.warm_up()
    station.ended(station.launch("say_job"))
    assert station.said().startswith("hello")
    station.file.write_text(station.file.read_text().replace('SAYS = "hello"', 'SAYS = "good morning"'))
    station.ended(station.launch("say_job"))
    assert station.said().startswith("good morning")
    wait_for(lambda: station.launcher.warm_pid not in (None, old), what="a process with the new code")
    run = station.ended(station.launch("say_job"))
    assert station.said() == f"good morning {station.worker(run).pid}"
    wait_for(lambda: not psutil.pid_exists(old), what="the end of the process with the old code")


def test_a_run_in_progress_ends_with_the_code_it_began_with(station: Station) -> None:
    station.warm_up()
    hanging = station.launch("hang_job")
    wait_for(station.hanging, what="the run to hang")
    worker = station.worker(hanging)
    station.file.write_text(station.file.read_text().replace('SAYS = "hello"', 'SAYS = "good morning"'))
    station.ended(station.launch("say_job"))
    wait_for(lambda: station.launcher.warm_pid, what="a process with the new code")
    assert worker.is_alive
    os.kill(worker.pid, signal.SIGKILL)
    assert station.ended(hanging).status is DagsterRunStatus.FAILURE


def test_code_that_cannot_be_loaded_is_said_once_and_left_to_the_code_server(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    station.warm_up()
    station.file.write_text("raise RuntimeError('a rule of the agency is broken')\n")
    for _ in range(2):
        station.launch("say_job")
        wait_for(lambda: station.launcher.warm_pid is None, what="the launcher to notice")
    station.launch("say_job")
    warned = [record.message for record in caplog.records if "cannot be loaded" in record.message]
    assert len(warned) == 1
    assert "a rule of the agency is broken" in warned[0]


def test_code_that_is_mended_is_loaded_at_once(station: Station) -> None:
    good = station.file.read_text()
    station.file.write_text("def broken(:\n")
    station.launch_without_code_server("say_job")
    wait_for(lambda: station.launcher.has_failed, what="the code to be refused")
    station.launch_without_code_server("say_job")
    assert station.launcher.warm_pid is None
    station.file.write_text(good)
    station.launch_without_code_server("say_job")
    wait_for(lambda: station.launcher.warm_pid, what="a warm process with the mended code")


def test_code_that_changes_while_it_is_loaded_is_loaded_again(station: Station) -> None:
    slow = station.file.read_text() + "Path(__file__).with_name('loading').touch()\ntime.sleep(1)\n"
    station.file.write_text(slow)
    loading = station.file.with_name("loading")
    station.launch_without_code_server("say_job")
    wait_for(loading.exists, what="the code to be loaded")
    station.file.write_text(slow.replace('SAYS = "hello"', 'SAYS = "good morning"'))
    old = wait_for(lambda: station.launcher.warm_pid, what="a warm process")
    station.launch_without_code_server("say_job")
    wait_for(lambda: station.launcher.warm_pid not in (None, old), what="a process with the new code")
    station.ended(station.launch("say_job"))
    assert station.said().startswith("good morning")


def test_a_run_of_other_code_than_was_loaded_is_started_by_its_code_server(station: Station) -> None:
    station.file.write_text(station.file.read_text().replace("@job(", '@job(tags={"code": "new"}, ', 1))
    station.warm_up(tags={"code": "new"})
    forked = station.ended(station.launch("say_job", tags={"code": "new"}))
    other = station.ended(station.launch("say_job", tags={"code": "of another container"}))
    assert [WORKER_TAG in run.tags for run in (forked, other)] == [True, False]
    assert other.status is DagsterRunStatus.SUCCESS


def test_a_death_that_takes_long_to_report_holds_up_no_other_run(station: Station) -> None:
    reported, release = threading.Event(), threading.Event()

    def report(run_id: str, exit_code: int) -> None:
        reported.set()
        release.wait()

    warm = WarmProcess(serialize_value(station.instance.get_ref()), [station.module], environment={}, on_died=report)
    run = station.create("hang_job")

    def launch(run_id: str) -> int | None:
        try:
            return warm.launch(run_id, {}, module=station.module, job="hang_job")
        except NotWarmError:
            return None

    first = wait_for(lambda: launch(run.run_id), what="the run to be forked")
    wait_for(station.hanging, what="the run to hang")
    os.kill(first, signal.SIGKILL)
    assert reported.wait(30)
    second = launch(station.create("say_job").run_id)
    assert second not in (None, first)
    release.set()
    warm.stop()


def test_without_the_means_to_start_a_process_the_code_server_starts_the_run(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    run = station.ended(station.launch("say_job"))
    assert (run.status, WORKER_TAG in run.tags) == (DagsterRunStatus.SUCCESS, False)


def test_runs_leave_no_process_no_descriptor_and_no_thread_behind(station: Station) -> None:
    warm = station.warm_up()
    station.ended(station.launch("say_job"))
    wait_for(lambda: not children_of(warm), what="the run's process to be gone")
    before = psutil.Process(warm).num_fds(), psutil.Process().num_fds(), threading.active_count()
    runs = [station.launch("say_job") for _ in range(20)]
    assert {station.ended(run).status for run in runs} == {DagsterRunStatus.SUCCESS}
    # A zombie would be a child that has not gone.
    wait_for(lambda: not children_of(warm), what="the runs' processes to be gone")
    assert (psutil.Process(warm).num_fds(), psutil.Process().num_fds(), threading.active_count()) <= before


def test_the_warm_process_has_one_thread_so_that_a_fork_is_whole(station: Station) -> None:
    assert psutil.Process(station.warm_up()).num_threads() == 1


def test_the_warm_process_ends_with_whoever_started_it(station: Station) -> None:
    warm = psutil.Process(station.warm_up())
    station.launcher.dispose()
    warm.wait(timeout=10)
    assert not warm.is_running()


def test_two_launchers_of_one_instance_have_one_warm_process(station: Station) -> None:
    warm = station.warm_up()
    second = WarmRunLauncher([station.module])
    second.register_instance(station.instance)
    assert second.warm_pid == warm
    before = set(children_of(os.getpid()))
    run = station.create("say_job")
    with station.workspace.create_request_context() as workspace:
        second.launch_run(LaunchRunContext(run, workspace))
    assert station.worker(station.ended(run)).run_id == run.run_id
    assert {child for child in children_of(os.getpid()) if child.ppid() == os.getpid()} <= before


def test_two_threads_that_launch_at_once_start_one_warm_process(station: Station) -> None:
    station.warm_up()
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(station.launch("say_job"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = [station.ended(run) for run in runs]
    assert [run.status for run in ended] == [DagsterRunStatus.SUCCESS] * 6
    assert len({station.worker(run).pid for run in ended}) == 6
