# SPDX-License-Identifier: Apache-2.0
"""Runs the tests that CI runs, with a line per stage; full logs are in build/logs/."""
import argparse
import concurrent.futures
import signal
import sys
import threading
import time

import process
import stages
from results import FAILED, SKIPPED, Case, Progress, closing_line, count, count_text, lines_of
from results import minutes


def arguments():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="format, rules and the debug build's tests only")
    parser.add_argument("--list", action="store_true", help="name the stages and stop")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="run only stages whose name contains NAME")
    return parser.parse_args()


def chosen(options):
    every = stages.all_stages()
    if options.quick:
        every = [stage for stage in every if stage.is_quick]
    if not options.names:
        is_all = options.quick or options.list
        return [stage for stage in every if is_all or stage.is_in_whole]
    for name in options.names:
        if not any(name in stage.name for stage in every):
            sys.exit(f"./dev test: no stage has '{name}' in its name; see ./dev test --list")
    return [stage for stage in every if any(name in stage.name for name in options.names)]


printing = threading.Lock()
stopping = threading.Event()


def tell_end(progress, stage, cases):
    verdict = "FAILED" if count(cases, FAILED) else "ok"
    progress.end(f"{verdict:6}  {count_text(cases)}")
    failed = [case for case in cases if case.outcome == FAILED]
    for case in failed[:20]:
        print(f"        {case.name}: {case.note[:300] or 'failed'}")
    if failed:
        print(f"        --- end of {stage.log.relative_to(stages.ROOT)}")
        for line in process.tail(stage.log):
            print(f"        | {line}")
    sys.stdout.flush()


def run_stage(label, stage, is_silent=False):
    progress = Progress(label, is_silent=is_silent)
    progress.tell("")
    try:
        cases = stage.work(stage.log, progress.tell)
    except Exception as error:  # A stage that breaks is a failure of that stage, not of the run.
        cases = [Case(stage.name, FAILED, f"{type(error).__name__}: {error}")]
    with printing:
        tell_end(progress, stage, cases)
    return cases


def run_lane(lane, is_silent=False):
    """[(stage name, its cases)] of [(label, stage)], one after the other."""
    return [(stage.name, run_stage(label, stage, is_silent)) for label, stage in lane
            if not stopping.is_set()]


def run_stages(labelled):
    """Builds first; then the tests that need the machine, and beside them those that do not."""
    def of(lane):
        return [each for each in labelled if each[1].lane == lane]

    found = run_lane(of(stages.FIRST))
    alone, beside = of(stages.ALONE), of(stages.BESIDE)
    if stages.JOBS == 1 or not alone:
        return found + run_lane(alone + beside)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        lanes = [pool.submit(run_lane, alone), pool.submit(run_lane, beside, is_silent=True)]
        return found + [pair for lane in lanes for pair in lane.result()]


def stop(number, _frame):
    stopping.set()
    process.running.end_all()
    sys.exit(128 + number)


def main():
    options = arguments()
    todo = chosen(options)
    if options.list:
        print("\n".join(stage.name + ("" if stage.is_in_whole else "  (when asked for)")
                        for stage in todo))
        return 0
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    stages.forget_old_logs()
    started = time.monotonic()
    width = max(len(stage.name) for stage in todo)
    labelled = [(f"[{index:2}/{len(todo)}] {stage.name:{width}}", stage)
                for index, stage in enumerate(todo, 1)]
    found = run_stages(labelled)
    cases = [case for _, part in found for case in part]
    # What failed comes last: the end of a long log is what people get to see of it.
    for outcome in (SKIPPED, FAILED):
        if count(cases, outcome):
            print(f"{outcome.capitalize()}:")
            print("\n".join(lines_of(outcome, found)))
    print(f"{minutes(time.monotonic() - started)} minutes; logs in build/logs/")
    print(closing_line(cases))
    return 1 if count(cases, FAILED) else 0


sys.exit(main())
