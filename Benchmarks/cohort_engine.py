"""A cohort of many small series through `cohort run --task features`, beside a bare loop over the same series.

Generated series of one small slice go through the command on two workers: whether it finishes, its rate, the memory
of workers and driver over time, and what the engine costs each series beside a bare loop (read, measure, keep the
rows in memory) over the same files in the same run. Costs are processor time, which other programs on the machine do
not change, start-up of all processes included; wall time is printed beside, for both on as many processes as there
are workers. Then, with `--kill`, driver and workers are killed in turns and the rest is done by further runs.

    python Benchmarks/cohort_engine.py [--count 20000] [--workers 2] [--bare 2000] [--kill] [--check]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from fresh_process import verdict

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "DicomAnalysis"), str(ROOT / "Testing" / "Data")]

OVERHEAD_BOUND_MS = 3.0
GROWTH_BOUND_MB = 16.0
SAMPLE_SECONDS = 0.5
MEGABYTE = 1024**2


def bare_loop(source: Path, count: int) -> None:
    """The same measurement in one loop without an engine; prints its times as JSON."""
    from DicomAnalysisLib.cohort.engine.spec import TaskSpec
    from DicomAnalysisLib.cohort.engine.work import make_task
    from DicomAnalysisLib.dicom.series import series_from_files

    task = make_task(TaskSpec("features", ""))
    files = sorted(source.rglob("*.dcm"))[:count]
    wall, cpu = time.perf_counter(), time.process_time()
    rows = []
    for file in files:
        series, problems = series_from_files([file])
        rows += task.measurement.rows(series, problems)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rows": len(rows)}))


def run_bare(source: Path, count: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--bare-loop", str(source), "--bare", str(count)],
        stdout=subprocess.PIPE,
        check=True,
        env=environment(),
    )
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT / "DicomAnalysis")}


def start(source: Path, output: Path, workers: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "DicomAnalysisLib", "cohort", "run", str(source), "--output", str(output)]
    command += ["--task", "features", "--workers", str(workers), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment())


def run_engine(source: Path, output: Path, workers: int) -> dict[str, object]:
    """The command, with the processor time and the memory of all its processes."""
    started = time.perf_counter()
    process = start(source, output, workers)
    driver = psutil.Process(process.pid)
    samples: list[tuple[float, float, float]] = []
    cpu: dict[int, float] = {}
    while process.poll() is None:
        try:
            children = driver.children(recursive=True)
            memory = [one.memory_info().rss for one in children]
            samples.append((time.perf_counter() - started, max(memory, default=0), driver.memory_info().rss))
            for one in (driver, *children):
                times = one.cpu_times()
                cpu[one.pid] = times.user + times.system
        except psutil.Error:
            pass  # it ended between two looks
        time.sleep(SAMPLE_SECONDS)
    report = json.loads(process.stdout.read())
    return {"wall": time.perf_counter() - started, "cpu": sum(cpu.values()), "samples": samples, "report": report}


def print_memory(samples: list[tuple[float, float, float]]) -> float:
    """Memory over time; how much more any process holds in the second half than at the end of the first, MB."""
    print("  memory over time (MB)   seconds   largest worker   driver")
    for k in range(10):
        seconds, worker, driver = samples[min(len(samples) - 1, (2 * k + 1) * len(samples) // 20)]
        print(f"  {seconds:31.1f} {worker / MEGABYTE:16.0f} {driver / MEGABYTE:8.0f}")
    half = len(samples) // 2
    early, late = samples[half // 2 : half], samples[half:]
    return max((max(s[n] for s in late) - max(s[n] for s in early)) / MEGABYTE for n in (1, 2))


def kill_in_turns(source: Path, output: Path, workers: int, count: int) -> bool:
    """Kill driver, worker, driver …; whether a last run finds nothing lost."""
    rounds = 0
    while rounds < 6:
        process = start(source, output, workers)
        time.sleep(4)
        rounds += 1
        if process.poll() is not None:
            break
        children = psutil.Process(process.pid).children()
        if rounds % 2 and children:
            children[0].kill()
            time.sleep(2)
        process.kill()
        process.wait()
    report = json.loads(start(source, output, workers).communicate()[0])
    print(f"  after {rounds} kills: {report['kept']:,} kept, {report['done']:,} done, {len(report['failed'])} failed")
    return report["complete"] and report["kept"] + report["done"] == count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bare", type=int, default=2000, help="series of the bare loop")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit status 1 where a bound is missed")
    parser.add_argument("--bare-loop", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare_loop:
        bare_loop(options.bare_loop, options.bare)
        return 0
    from small_cohorts import write_cohort

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        write_cohort(source, options.count)
        bare_count = min(options.bare, options.count)
        before = run_bare(source, bare_count)
        found = run_engine(source, Path(folder, "output"), options.workers)
        after = run_bare(source, bare_count)
        bare = {name: min(before[name], after[name]) for name in before}
        holds = report(options, bare, found, bare_count)
        if options.kill:
            killed = kill_in_turns(source, Path(folder, "killed"), options.workers, options.count)
            print(f"  nothing lost: {verdict(killed)}")
            holds &= killed
    return int(options.check and not holds)


def report(options: argparse.Namespace, bare: dict[str, float], found: dict, bare_count: int) -> bool:
    """Print what was found; whether all bounds hold."""
    count, outcome = options.count, found["report"]
    per_bare = {name: bare[name] / bare_count * 1000 for name in ("wall", "cpu")}
    cpu = found["cpu"] / count * 1000
    wall = found["wall"] / count * 1000
    print(f"{count:,} series on {options.workers} workers: {found['wall']:.1f} s, {count / found['wall']:.0f} a second")
    print(f"  {outcome['done']:,} done, {len(outcome['failed'])} failed, {len(outcome['table'])} table")
    growth = print_memory([sample for sample in found["samples"] if sample[1]])
    overhead = cpu - per_bare["cpu"]
    complete = outcome["complete"] and outcome["done"] == count
    share = wall * options.workers
    print(f"  wall time of a series       bare loop {per_bare['wall']:.2f} ms, engine {share:.2f} ms of a worker")
    print(f"  processor time of a series  bare loop {per_bare['cpu']:.2f} ms, engine {cpu:.2f} ms")
    print(f"  overhead {overhead:.2f} ms, bound {OVERHEAD_BOUND_MS:g} ms: {verdict(overhead <= OVERHEAD_BOUND_MS)}")
    print(
        f"  growth in the second half {growth:.1f} MB, bound {GROWTH_BOUND_MB:g}: {verdict(growth <= GROWTH_BOUND_MB)}"
    )
    print(f"  every series done: {verdict(complete)}")
    return overhead <= OVERHEAD_BOUND_MS and growth <= GROWTH_BOUND_MB and complete


if __name__ == "__main__":
    sys.exit(main())
