"""`action.yml` for other people's workflows: its schema, and its steps run by bash.

There is no runner here: this reads the steps as a runner does, puts in what stands in `${{ }}`, and
runs each as GitHub's documentation says that `shell: bash` does. GitHub itself has not run it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from tests.conftest import ROOT, Live
from tests.support.launcher import give_launcher

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
HOSTILE = "$(touch owned) `touch owned` '; touch owned; \" ${{ x }}"
_EXPRESSION = re.compile(r"\$\{\{ (inputs|steps)\.([\w.]+) \}\}")


def test_it_is_a_valid_action() -> None:
    """By the published schema of actions."""
    schema = ("--builtin-schema", "vendor.github-actions", str(ROOT / "action.yml"))
    done = subprocess.run(
        (sys.executable, "-m", "check_jsonschema", *schema),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_inputs_are_never_part_of_a_script() -> None:
    """A collection's name in a script would be run by the shell, with the key in reach."""
    for step in STEPS:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
    given = {name for step in STEPS for name in re.findall(r"inputs\.(\w+)", str(step["env"]))}
    assert given == set(ACTION["inputs"])


@dataclass
class Runner:
    """What a runner keeps for one use of the action."""

    home: Path
    inputs: Mapping[str, str]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    printed: str = ""

    @property
    def temp(self) -> Path:
        """The folder that a runner empties after the job."""
        return self.home / "temp dir"

    @property
    def summary(self) -> Path:
        """The file whose Markdown GitHub shows on the page of the run."""
        return self.home / "summary.md"

    def value(self, text: str) -> str:
        """Put in what stands in `${{ }}`, once, as GitHub does."""

        def find(found: re.Match[str]) -> str:
            kind, name = found.groups()
            if kind == "inputs":
                return self.inputs.get(name, ACTION["inputs"][name].get("default", ""))
            step, _, output = name.split(".")
            return self.outputs.get(step, {}).get(output, "")

        return _EXPRESSION.sub(find, text)

    def start(self, step: Mapping[str, Any]) -> subprocess.Popen[str]:
        """Start a step as `shell: bash` does."""
        script, output = self.home / "step.sh", self.home / "output"
        script.write_text(step["run"], encoding="utf-8")
        output.write_text("", encoding="utf-8")
        given = {name: self.value(text) for name, text in step["env"].items()}
        return subprocess.Popen(
            ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)),
            cwd=self.home,
            env={
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                "QDRANT_DRILL_ENGINE": "native",
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(self.home / "action"),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "RUNNER_TEMP": str(self.temp),
                **given,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, step: Mapping[str, Any], process: subprocess.Popen[str]) -> int:
        """Wait for a step and keep its outputs."""
        self.printed += process.communicate(timeout=120)[0]
        lines = (self.home / "output").read_text(encoding="utf-8").splitlines()
        self.outputs[step.get("id", "")] = dict(line.split("=", 1) for line in lines)
        return process.returncode

    def run(self) -> int:
        """Run all steps; after a failure only those that say `always()`."""
        code = 0
        for step in STEPS:
            if self.wants(step, failed=bool(code)):
                code = self.finish(step, self.start(step)) or code
        return code

    def wants(self, step: Mapping[str, Any], *, failed: bool) -> bool:
        """Judge the one condition that the action has."""
        if "if" not in step:
            return not failed
        assert step["if"] == "always() && steps.prepare.outputs.folder != ''"
        return bool(self.outputs.get("prepare", {}).get("folder"))

    def output(self, name: str) -> str:
        """Return an output of the action."""
        return self.value(ACTION["outputs"][name]["value"])

    def left(self) -> list[str]:
        """Return what is below the runner's temporary folder, except folders."""
        return sorted(path.name for path in self.temp.rglob("*") if path.is_file())


@pytest.fixture
def source(qdrant: Live) -> Iterator[Live]:
    """A server with one collection."""
    qdrant.loader.plain("acted", points=50)
    yield qdrant
    qdrant.loader.delete("acted")


def runner(home: Path, **inputs: str) -> Runner:
    """Return a runner with the action checked out, in a folder whose name has a space."""
    (home / "temp dir").mkdir()
    (home / "action").mkdir()
    give_launcher(home / "action")
    return Runner(home, inputs)


def test_it_proves_and_hands_out_the_proof(source: Live, tmp_path: Path) -> None:
    """The proof, JUnit, a report and a summary; the snapshot and what it holds are gone."""
    used = runner(tmp_path, url=source.url, collection="acted", budget="600")
    assert used.run() == 0, used.printed
    [line] = Path(used.output("proof")).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["verdict"] == "PROVEN"
    suites = JUnitXml.fromfile(used.output("junit"))
    assert (suites.failures, suites.errors) == (0, 0)
    assert suites.tests
    assert "acted" in used.summary.read_text(encoding="utf-8")
    assert used.left() == ["proof.jsonl", "report.html", "restore.xml"]
    assert Path(used.output("folder"), "report.html").is_file()
    assert list(used.temp.iterdir()) == [Path(used.output("folder"))]


def test_without_a_collection_the_only_one_is_proven(source: Live, tmp_path: Path) -> None:
    """An input that is not given arrives empty, which is as good as not set."""
    used = runner(tmp_path, url=source.url)
    assert used.run() == 0, used.printed
    assert used.output("proof")


def test_without_a_url_it_fails(tmp_path: Path) -> None:
    """GitHub does not enforce `required`; localhost would be asked, or nothing done."""
    used = runner(tmp_path)
    assert used.run() == 1
    assert "::error::The input url is empty" in used.printed
    assert used.left() == []


def test_a_missed_budget_fails_with_its_proof(source: Live, tmp_path: Path) -> None:
    """The run is red, and what was measured is there to be looked at."""
    used = runner(tmp_path, url=source.url, collection="acted", budget="0.001")
    assert used.run() == 23, used.printed
    assert JUnitXml.fromfile(used.output("junit")).failures
    assert used.output("proof")
    assert "::error" in used.printed


@pytest.mark.parametrize("name", ["collection", "budget", "key", "url"])
def test_no_input_is_run(source: Live, tmp_path: Path, name: str) -> None:
    """Quotes, substitutions and expressions stay text, and end with an error of ours."""
    inputs = {"url": source.url, "collection": "acted"} | {name: HOSTILE}
    used = runner(tmp_path, **inputs)
    code = used.run()
    assert not list(tmp_path.rglob("owned"))
    assert code not in (2, 126, 127)
    assert "Traceback" not in used.printed
    if name != "key":  # a server without a key takes any
        assert code
    assert ".snapshot" not in "".join(used.left())


@contextmanager
def restoring(used: Runner, step: Mapping[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Start the drill, and yield once its snapshot is there."""
    process = used.start(step)
    try:
        folder = Path(used.outputs["prepare"]["snapshots"])
        until = time.monotonic() + 60
        while not list(folder.glob("*.snapshot")) and time.monotonic() < until:
            time.sleep(0.02)
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_run_leaves_nothing(source: Live, tmp_path: Path, number: int) -> None:
    """The signal reaches the task, not only the shell around it; the snapshot is deleted."""
    used = runner(tmp_path, url=source.url, collection="acted")
    prepare, prove, collect = STEPS
    assert used.finish(prepare, used.start(prepare)) == 0
    with restoring(used, prove) as process:
        process.send_signal(number)
        assert used.finish(prove, process) == 130, used.printed
    assert used.wants(collect, failed=True)
    assert used.finish(collect, used.start(collect)) == 0, used.printed
    assert ".snapshot" not in "".join(used.left())
