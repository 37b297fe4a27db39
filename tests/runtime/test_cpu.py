"""Tests of sat2map.runtime.cpu: what the system says of the processor, and the threads that follow."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sat2map.runtime import cpu as module
from sat2map.runtime.cpu import Processor, read_processor

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_tile amx_bf16 amx_int8 avx512_vnni

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
HASWELL = "processor\t: 0\nmodel name\t: Core i7\nflags\t\t: fpu sse2 avx avx2 fma\n"
GRAVITON = "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd bf16 i8mm\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def cpus(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The processors that affinity allows: four, until a test changes the set."""
    allowed = {0, 1, 4, 5}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    return allowed


@pytest.mark.parametrize(
    ("cpuinfo", "features"),
    [
        (XEON, {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "avx512_vnni"}),
        (HASWELL, {"avx2"}),
        (GRAVITON, {"asimd", "bf16", "i8mm"}),
    ],
)
def test_features_are_those_of_the_first_processor(tmp_path: Path, cpuinfo: str, features: set[str]) -> None:
    write(tmp_path / "proc/cpuinfo", cpuinfo)
    assert read_processor(tmp_path).features == features


@pytest.mark.parametrize(
    ("cpuinfo", "bf16", "int8"),
    [(XEON, True, True), (HASWELL, False, False), (HASWELL + "flags : avx512f", False, False)],
)
def test_products_that_the_processor_would_emulate_are_not_counted(
    tmp_path: Path, cpuinfo: str, bf16: bool, int8: bool
) -> None:
    write(tmp_path / "proc/cpuinfo", cpuinfo)
    found = read_processor(tmp_path)
    assert (found.multiplies_bf16, found.multiplies_int8) == (bf16, int8)


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a.slice/b\n", {"a.slice/cpu.max": "200000 100000", "a.slice/b/cpu.max": "400000 100000"}, 2.0),
        ("0::/a.slice/b\n", {"cpu.max": "100000 100000"}, 1.0),  # a container's mount, the host's path
        (
            "5:memory:/m\n1:cpu,cpuacct:/job\n",
            {"cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ("1:cpuset:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "1\n", "cpu/cpu.cfs_period_us": "1\n"}, math.inf),
    ],
)
def test_the_quota_is_the_smallest_of_the_control_groups(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float
) -> None:
    write(tmp_path / "proc/self/cgroup", groups)
    for name, text in files.items():
        write(tmp_path / "sys/fs/cgroup" / name, text)
    assert read_processor(tmp_path).quota == quota


def test_two_hyperthreads_are_one_core(tmp_path: Path, cpus: set[int]) -> None:
    for cpu, siblings in {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}.items():
        write(tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", siblings + "\n")
    assert read_processor(tmp_path).cores == 2
    cpus -= {1, 5}
    assert read_processor(tmp_path).cores == 1


def test_where_the_system_does_not_say_every_processor_is_a_core(tmp_path: Path, cpus: set[int]) -> None:
    found = read_processor(tmp_path)
    assert (set(found.cpus), found.cores, found.quota, found.features) == (
        {0, 1, 4, 5},
        4,
        math.inf,
        frozenset(),
    )


def test_pythons_own_limit_counts(tmp_path: Path, cpus: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert len(read_processor(tmp_path).cpus) == 3


@pytest.mark.parametrize(
    ("cpus", "cores", "quota", "busy", "threads"),
    [
        (2, 2, math.inf, 0.0, 2),
        (2, 2, math.inf, 0.4, 2),
        (2, 2, math.inf, 1.0, 1),
        (2, 2, math.inf, 2.0, 1),  # never none
        (2, 2, 1.5, 0.0, 1),  # a second thread would be stopped for half of each period
        (64, 32, 4.0, 50.0, 4),  # others on the host, beside a container with a small share of it
        (64, 32, math.inf, 50.0, 14),
        (8, 4, math.inf, 4.0, 4),  # the other hyperthreads are free
        (128, 128, math.inf, 0.0, 32),
    ],
)
def test_each_thread_has_a_processor_of_its_own(
    cpus: int, cores: int, quota: float, busy: float, threads: int
) -> None:
    found = Processor("any", frozenset(), frozenset(range(cpus)), cores, quota)
    assert found.threads_beside(busy) == threads


def test_load_is_what_others_did_on_the_allowed_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Processor("any", frozenset(), frozenset({0, 1}), 2)
    monkeypatch.setattr(module, "processor", lambda: two)
    hertz = os.sysconf("SC_CLK_TCK")
    # user nice system idle iowait irq softirq steal guest guest_nice
    before = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 5 0 0 0 0 0 0 0 0 0\ncpu2 0 0 0 0\n"
    write(tmp_path / "proc/stat", before)
    first = module._sample(tmp_path)
    busy = [hertz, 0, hertz // 2, 7 * hertz, 3 * hertz, 0, 0, hertz // 2]
    after = f"cpu0 {' '.join(map(str, busy))} 0 0\ncpu1 5 0 0 0 0 0 0 0 0 0\ncpu2 {hertz * 99} 0 0 0\n"
    write(tmp_path / "proc/stat", after)
    last = module._sample(tmp_path)
    assert first is not None
    assert last is not None
    assert last.everyone - first.everyone == pytest.approx(2.0)
    first = module._Sample(at=10, everyone=first.everyone, own=3)
    last = module._Sample(at=12, everyone=last.everyone, own=3.5)
    assert module._busy_between(first, last) == pytest.approx(0.75)  # (2 - 0.5) seconds in 2


def test_without_proc_stat_nothing_is_known_to_be_busy(tmp_path: Path) -> None:
    assert module._sample(tmp_path) is None


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("3,2", 3), ("0", 2), ("many", 2), ("", 2)])
def test_the_users_number_of_threads_wins(monkeypatch: pytest.MonkeyPatch, value: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(module, "processor", lambda: Processor("any", frozenset(), frozenset({0, 1}), 2))
    monkeypatch.setattr(module.LoadMeter, "read", lambda self: 0.0)
    assert module.default_threads() == threads


WAITS = """
import os, sys
from sat2map.cli import parsing
from sat2map.cli.main import main
from sat2map.runtime import cpu
idle = cpu.Processor("any", frozenset(), frozenset({{0, 1}}), 2)
cpu.processor = lambda: idle
cpu.LoadMeter.read = lambda self: {busy}
main(["info"])
print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("KMP_BLOCKTIME"), "torch" in sys.modules)
"""


def last_line(code: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in module._WAIT_VARIABLES}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_beside_another_program_threads_sleep_from_before_pytorch_is_loaded() -> None:
    assert last_line(WAITS.format(busy=1.0)) == "PASSIVE 0 False"


def test_on_an_idle_machine_the_wait_policy_is_openmps_own() -> None:
    assert last_line(WAITS.format(busy=0.1)) == "None None False"


def test_a_users_wait_policy_stays() -> None:
    code = WAITS.format(busy=1.0)
    assert last_line(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE None False"
    assert last_line(code, GOMP_SPINCOUNT="100") == "None None False"


def test_the_wait_policy_is_set_before_a_command_runs() -> None:
    code = WAITS.format(busy=1.0).replace(
        'main(["info"])',
        "show = lambda: print(os.environ['OMP_WAIT_POLICY'], flush=True) or os._exit(0)\n"
        "parsing.parse = lambda *_: parsing.Invocation(show, {})\n"
        'main(["info"])',
    )
    assert last_line(code) == "PASSIVE"


def test_no_command_imports_pytorch_before_it_runs() -> None:
    code = """
import sys
from sat2map.cli.commands import COMMANDS
from sat2map.cli.parsing import make_app
for name in COMMANDS:
    make_app(name, []).assemble_argument_collection()
print(len(COMMANDS) > 20, "torch" in sys.modules)
"""
    assert last_line(code) == "True False"


def test_asking_for_threads_imports_nothing_heavy() -> None:
    code = "import sat2map.runtime.cpu, sys; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    assert last_line(code) == "set()"


def test_a_description_has_a_line_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Processor("Xeon", frozenset({"avx2", "amx_bf16"}), frozenset({0, 1}), 2, 1.5)
    monkeypatch.setattr(module, "processor", lambda: here)
    monkeypatch.setattr(module.LoadMeter, "read", lambda self: 0.25)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name in module._WAIT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    facts = module.describe_processor()
    assert facts["processor"] == "Xeon (avx2, amx_bf16)"
    assert "quota 1.5; others keep 0.2 busy" in facts["cores"]
    assert facts["threads"] == "1"
    assert facts["precision"] == "training bf16, translation fp32"
    assert facts["int8"] == "emulated"
    assert facts["engine"] == "ONNX Runtime"
