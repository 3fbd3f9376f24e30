"""How a command ends: real signals at any time, and what a folder then holds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_cases import INTERCEPTS, run, run_unchecked
from filelock import FileLock

from bayeslmm.api.model import Model
from bayeslmm.cli.interrupts import INTERRUPTED, Interrupts
from bayeslmm.cli.stage import Stage
from bayeslmm.reporting.folder import remove_dead

STARTUP = 10.0  # seconds that Python may take to be there at all on a busy machine
REML_ONLY = ("--reml-only", "--out", "results")
SHORT = ("--draws", 20, "--tune", 20, "--chains", 2, "--seed", 1, "--out", "results")
LATE = [0.0, 0.1, 0.4, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 3.5, 4.0, 4.6, 5.2, 6.0, 7.0, 8.0]


def names(folder: str = "results") -> set[str]:
    """Everything below a folder."""
    return {str(p.relative_to(folder)) for p in Path(folder).rglob("*")}


def wait_until_it_listens(process: subprocess.Popen) -> None:
    """Wait for the handler of SIGTERM, the last; Python has one of SIGINT itself.

    Before that nothing of ours runs, and a signal does what the system does with it.
    """
    status, end = Path(f"/proc/{process.pid}/status"), time.monotonic() + STARTUP
    while status.exists() and time.monotonic() < end:
        caught = int(status.read_text().split("SigCgt:")[1].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.002)
    if not Path("/proc/self/status").exists():  # not Linux
        time.sleep(0.5)


def ended(number: int, seconds: float, *options: object) -> tuple[int, str]:
    """Exit code and stderr of a command that gets a signal a while after its start."""
    arguments = ["fit", "pupils.csv", INTERCEPTS, "--out", "results", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "bayeslmm", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    wait_until_it_listens(process)
    time.sleep(seconds)
    process.send_signal(number)
    try:
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, stderr


def check_end(code: int, stderr: str) -> None:
    """An end by a signal, in a sentence, and nothing unfinished."""
    assert code in (0, INTERRUPTED), stderr
    if code:
        said = "interrupted" in stderr.lower()
        assert said or Path("results/summary.json").exists()
    assert "Traceback" not in stderr
    assert "ignored" not in stderr
    if Path("results").exists():
        assert not [name for name in names() if ".unfinished" in name]


@pytest.mark.parametrize(
    ("number", "seconds"),
    [(signal.SIGINT, 0.3), (signal.SIGTERM, 0.6), (signal.SIGINT, 1.5)],
)
def test_a_signal_ends_a_command_in_a_sentence(csv, number, seconds):
    code, stderr = ended(number, seconds, "--seed", 1)
    assert code == INTERRUPTED, stderr
    assert stderr.startswith("\nbayeslmm: interrupted while ")
    check_end(code, stderr)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("caches", ["warm", "cold"])
@pytest.mark.parametrize("seconds", LATE)
def test_a_signal_at_any_time(csv, tmp_path, monkeypatch, number, seconds, caches):
    if caches == "cold":
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cold"))
    check_end(*ended(number, seconds, "--seed", 1, "--draws", 20000))


def test_a_second_signal_ends_what_the_first_did_not(monkeypatch):
    """The first was swallowed, by a compiler say; a thread says that it was heard."""
    interrupts, stage = Interrupts(), Stage("sampling")
    said: list[str] = []
    monkeypatch.setattr(
        interrupts, "end", lambda message: (_ for _ in ()).throw(SystemExit(message))
    )
    monkeypatch.setattr("bayeslmm.cli.interrupts.PATIENCE", 0.01)
    monkeypatch.setattr("bayeslmm.cli.interrupts._write", said.append)
    interrupts.begin(stage)
    stage.unwinds = True
    with pytest.raises(KeyboardInterrupt):
        interrupts._answer(signal.SIGINT, None)
    time.sleep(0.1)
    assert said[0].startswith("\nbayeslmm: interrupted while sampling; ending.")
    with pytest.raises(SystemExit, match="while sampling; nothing was written"):
        interrupts._answer(signal.SIGINT, None)


def test_an_interrupt_that_a_callback_cannot_raise_is_sent_again():
    """Python prints and forgets it; llvmlite calls back while it compiles."""
    script = (
        "import ctypes, signal, time\n"
        "from bayeslmm.cli.interrupts import INTERRUPTS\n"
        "INTERRUPTS.listen([signal.SIGINT])\n"
        "back = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))\n"
        "with INTERRUPTS.stage.unwinding():\n"
        "    try:\n"
        "        back()\n"
        "        time.sleep(20)\n"
        "        print('too late')\n"
        "    except KeyboardInterrupt:\n"
        "        print('raised')\n"
        "        INTERRUPTS.heard()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("raised\n", "")


def test_an_error_that_a_library_made_of_an_interrupt_is_none(capfd):
    """LLVM's callback swallows the interrupt, and numba then lacks what it made."""
    script = (
        "import ctypes, signal\n"
        "from bayeslmm.cli.messages import messages\n"
        "from bayeslmm.cli.interrupts import INTERRUPTS\n"
        "INTERRUPTS.listen([signal.SIGINT])\n"
        "back = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))\n"
        "with messages() as stage, stage.unwinding():\n"
        "    back()\n"
        "    raise RuntimeError('no compiled object yet')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == INTERRUPTED
    said = "\nbayeslmm: interrupted while starting; nothing was written.\n"
    assert capfd.readouterr().err == said


def test_a_signal_where_nothing_is_lost_ends_at_once(monkeypatch):
    interrupts = Interrupts()
    monkeypatch.setattr(
        interrupts, "end", lambda message: (_ for _ in ()).throw(SystemExit(message))
    )
    interrupts.begin(Stage("reading a.csv"))
    with pytest.raises(SystemExit, match=r"while reading a\.csv; nothing was written"):
        interrupts._answer(signal.SIGTERM, None)


@pytest.mark.usefixtures("plain_figures", "plain_report")
def test_files_of_an_earlier_run_that_this_one_did_not_write_go(csv):
    """A REML-only run left posterior.nc beside its new summary.json."""
    run_unchecked("fit", csv, INTERCEPTS, *SHORT)
    Path("results/figures/mine.png").touch()
    code, out, _ = run_unchecked("fit", csv, "score ~ 1 + (1 | number)", *REML_ONLY)
    assert code == 0
    assert names() == {
        "summary.json",
        "tables.csv",
        "tables.md",
        "tables.tex",
        "fit.lmm",
        "report.html",
        "figures",
        "figures/mine.png",
        "figures/check.png",
    }
    words = " ".join(out.split())
    assert f"replaced the results that were there: {INTERCEPTS}, written 2" in words
    gone = words[words.index("removed ") :]
    for name in ("posterior.nc", "figures/trace.png"):
        assert name in gone
    assert gone.endswith("which an earlier run had left there")


@pytest.mark.usefixtures("plain_figures", "plain_report")
def test_a_dead_run_is_cleared_away_and_a_living_one_left_alone(csv):
    for name in ("dead", "living"):
        Path(f"results/.unfinished-{name}/figures").mkdir(parents=True)
    Path("results/.unfinished-orphan.lock").touch()  # killed while it cleared away
    Path("results/kept.txt").touch()
    with FileLock("results/.unfinished-living.lock"):
        run("fit", csv, INTERCEPTS, *REML_ONLY, "--force")
        assert {n for n in names() if "unfinished" in n} == {
            ".unfinished-living",
            ".unfinished-living/figures",
            ".unfinished-living.lock",
        }
    remove_dead(Path("results"))
    assert not [n for n in names() if "unfinished" in n]
    assert "kept.txt" in names()


@pytest.mark.usefixtures("plain_figures", "plain_report")
def test_a_killed_run_leaves_a_folder_that_the_next_one_knows(csv, monkeypatch):
    script = (
        "import os\nfrom pathlib import Path\n"
        "from bayeslmm.reporting.folder import unfinished_folder\n"
        "with unfinished_folder(Path('results')) as folder:\n"
        "    (folder / 'summary.json').touch()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert len([n for n in names() if n.endswith(".lock")]) == 1
    run("fit", csv, INTERCEPTS, *REML_ONLY)
    assert not [n for n in names() if "unfinished" in n]


def test_an_interrupt_that_a_library_swallowed_counts(csv, monkeypatch):
    sample = Model.sample

    def swallowed(model, **options):
        from bayeslmm.cli.interrupts import INTERRUPTS

        INTERRUPTS.stage.interrupted = True
        return sample(model, **options)

    monkeypatch.setattr(Model, "sample", swallowed)
    code, _, err = run("fit", csv, INTERCEPTS, *SHORT)
    assert code == INTERRUPTED
    assert "while sampling, after the fit by REML; nothing was written" in err
    assert not Path("results").exists()


def test_an_interrupt_that_a_library_made_another_error_of_is_one(csv, monkeypatch):
    """numba, interrupted while it loads a kernel: "no compiled object yet"."""

    def broken(model, **options):
        from bayeslmm.cli.interrupts import INTERRUPTS

        INTERRUPTS.stage.interrupted = True
        raise RuntimeError("no compiled object yet")

    monkeypatch.setattr(Model, "sample", broken)
    code, _, err = run("fit", csv, INTERCEPTS, *SHORT)
    assert code == INTERRUPTED
    assert "while sampling, after the fit by REML; nothing was written" in err
    assert "compiled object" not in err


def test_an_error_without_an_interrupt_is_not_hidden(csv, monkeypatch):
    def broken(model, **options):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Model, "sample", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        run("fit", csv, INTERCEPTS, *SHORT)
