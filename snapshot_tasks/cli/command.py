"""The decorator that makes a task: flags in, result or error out, exit code at the end."""

from __future__ import annotations

import functools
import inspect
import json as json_module
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from invoke.config import Config
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task, task

from snapshot_tasks.cli.calling import CALLING, ON_DEFAULT, NamedTask, named, named_document
from snapshot_tasks.cli.console import PRINTED, TerminalProgress, ask, say, tell
from snapshot_tasks.cli.flags import (
    COLLECTION,
    Count,
    Moment,
    Seconds,
    Span,
    as_ours,
    only_collection,
    refuse_empty,
    refuse_unwritable,
)
from snapshot_tasks.cli.outputs import UNWRITABLE, open_outputs, silence
from snapshot_tasks.cli.redaction import document_without_key, without_key
from snapshot_tasks.cli.watching import Watch, begin_watch
from snapshot_tasks.system.errors import (
    Interrupted,
    Refused,
    StorageError,
    TaskError,
    Unforeseen,
    meaning_of,
)
from snapshot_tasks.system.process import INTERRUPTING_SIGNALS, collect_rarely
from snapshot_tasks.system.untrusted import finite

if TYPE_CHECKING:
    from snapshot_tasks.settings import Settings
    from snapshot_tasks.system.progress import Progress

# Everything that a task needs can be imported from here.
__all__ = ("JSON_HELP", "Count", "Moment", "Outcome", "Run", "Seconds", "Span", "command")
AGAIN_SECONDS = 0.01
DEFAULT_COLLECTION = "QDRANT_COLLECTION_NAME"
JSON_HELP = "Print one JSON document on stdout, even on failure."


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a task: data for `--json`, a function that prints it, and any error."""

    result: Mapping[str, Any]
    render: Callable[[], None] = field(default=lambda: None)
    error: TaskError | None = None


class Run:
    """One call of a task: its settings, its progress, and whether it may change anything."""

    def __init__(
        self,
        name: str,
        *,
        root: Path,
        dry: bool,
        json: bool,
        defaults: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self.root = root
        self.defaults = defaults
        self.dry = dry
        self.json = json
        self.progress: Progress = TerminalProgress()

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises `SettingsError` with all wrong ones."""
        from snapshot_tasks.settings import load_settings

        loaded = load_settings(self.root, defaults=self.defaults)
        for wrong in loaded.misnamed:
            self.progress.note(f"{wrong.message}. {wrong.remedy}")
        return loaded

    @cached_property
    def live(self) -> Settings:
        """The settings with the address of the live Qdrant, which a compose file may have.

        From then on, they are the settings, so that a key from there is never printed either.
        """
        from snapshot_tasks.engines.select import located

        self.settings = located(self.settings)
        return self.settings

    def would(self, *steps: str) -> Outcome:
        """Return the outcome of a dry run: the steps that it skipped."""

        def render() -> None:
            for step in steps:
                tell(f"would {step}")

        return Outcome(result={"dry_run": True, "would": list(steps)}, render=render)

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer."""
        return not self.json and sys.stdin.isatty()

    def consent(self, question: str, *, yes: bool) -> None:
        """Ask before something is deleted or overwritten.

        Raises:
            Refused: if there is neither a terminal nor `--yes`, or if the answer is no.
        """
        if yes:
            return
        if not self.can_ask:
            raise Refused(
                f"{question} This needs confirmation, and there is no terminal.",
                hint="Pass `--yes` to confirm.",
            )
        if not ask(question):
            raise Refused(
                "Aborted; nothing was changed.", hint="Answer `yes`, or pass `--yes`, to continue."
            )


class FlaggedTask(NamedTask):
    """A task in which `-c` is `--collection`; Invoke would take it for its own `-c`."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the flags as ours, which refuse wrong values by their name."""
        # Invoke takes each text out of `help`, so a second call would find flags without any.
        self.help, kept = dict(self.help), self.help
        try:
            return [as_ours(flag) for flag in super().get_arguments(ignore_unknown_help)]
        finally:
            self.help = kept


def project_root(config: Config) -> Path:
    """Return the folder in which Invoke found `tasks.py`, else the current folder."""
    found: str | None = config._project_prefix  # Invoke has no public name for it
    # `--search-root` may be relative, and a schedule runs elsewhere.
    return Path(os.path.abspath(found)) if found else Path.cwd()  # noqa: PTH100 - `..`


def project_defaults(config: Config) -> Mapping[str, object] | None:
    """Return the settings that the project's own tasks.py passes to `ns.configure`."""
    defaults: Mapping[str, object] | None = config._config.get("qdrant_snapshots")
    return defaults


def command(
    name: str, *, help: Mapping[str, str], iterable: Sequence[str] = (), watched: bool = False
) -> Callable[[Callable[..., Outcome]], Task[Callable[..., None]]]:
    """Turn a function of a `Run` and flags into a task with `--json` and the exit codes.

    `name` is the task's full name, such as `snapshot.create`. A `watched` task reports how it ended
    to the receivers in the settings; a dry run does not, because nothing was done.
    """

    def decorate(function: Callable[..., Outcome]) -> Task[Callable[..., None]]:
        @functools.wraps(function)
        def body(context: Context, *, json: bool = False, **flags: Any) -> None:
            collect_rarely()
            run = _begin(name, context.config, json=json, collection=only_collection(flags))
            is_real = not run.dry and not flags.get("dry_run")
            watch = begin_watch(name, run.root, run.defaults) if watched and is_real else None

            def work() -> Outcome:
                refuse_empty(flags)
                refuse_unwritable(flags)
                return function(run, **flags)

            _finish(run, work, watch)

        body.__signature__ = _signature(function)  # type: ignore[attr-defined]
        made: NamedTask = task(
            klass=FlaggedTask,
            name=name.rpartition(".")[2],
            help={**help, "json": JSON_HELP},
            iterable=list(iterable),
            auto_shortflags=False,
        )(body)
        made.full_name = name
        if DEFAULT_COLLECTION in help.get(COLLECTION, ""):
            ON_DEFAULT.add(name)
        return made

    return decorate


def _signature(function: Callable[..., Outcome]) -> inspect.Signature:
    given = list(inspect.signature(function).parameters.values())
    json = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False)
    return inspect.Signature([*given, json])


def _begin(name: str, config: Config, *, json: bool, collection: str = "") -> Run:
    open_outputs()
    root = project_root(config)
    CALLING.begin(config, root, collection)
    dry, defaults = bool(config.run.dry), project_defaults(config)
    return Run(name, root=root, dry=dry, json=json, defaults=defaults)


def end_before(name: str, config: Config, error: TaskError, *, json: bool) -> None:
    """End as the task would end with this error, although it was never started. Raises `Exit`."""

    def work() -> Outcome:
        raise error

    _finish(_begin(name, config, json=json), work, None)


def _finish(run: Run, work: Callable[[], Outcome], watch: Watch | None) -> None:
    """Do the work, print the result, report it to the receivers, and exit with its code."""
    PRINTED.clear()
    outcome = _outcome(run, work)
    if outcome.error:
        outcome = _told(run, outcome, outcome.error)
    outcome = _printed(run, outcome, is_work=watch is not None)
    error = outcome.error
    last_words = (named(f"error: {error.message}"), named(f"  fix: {error.hint}")) if error else ()
    if watch:
        text = without_key(PRINTED.text + "".join(f"{w}\n" for w in last_words), _key(run))
        # An impatient Ctrl-C ends the reporting, but does not change how the task ended.
        with suppress(KeyboardInterrupt), _interruptible([]):
            for note in watch.end(_document(run, outcome), text):
                run.progress.note(note)
    if error is None:
        return
    for words, style in zip(last_words, ("bold red", ""), strict=True):
        say(words, style=style, hang=len("error: "))
    raise Exit(code=error.exit_code)


def _printed(run: Run, outcome: Outcome, *, is_work: bool) -> Outcome:
    """Print the result; a bug here is reported like any other.

    An output that cannot be written fails a task that only shows something. What a task has done
    stays done.
    """
    try:
        if run.json:
            document = json_module.dumps(finite(_document(run, outcome)), allow_nan=False)
            # GitHub Actions obeys `##[` anywhere in a line; for JSON, the escaped text is the same.
            print(document.replace("##[", "#\\u0023["))
        else:
            outcome.render()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough.
        silence(sys.stdout)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            return _botched(run, error)
        silence(sys.stdout)
        return _unwritten(run, outcome, error, is_work=is_work)
    except Exception as error:
        return _botched(run, error)
    return outcome


def _unwritten(run: Run, outcome: Outcome, error: OSError, *, is_work: bool) -> Outcome:
    words = f"The result could not be written to stdout: {error.strerror}."
    if is_work or outcome.error:
        run.progress.note(words)
        return outcome
    lost = StorageError(words, hint="Free space where the output goes, then run this again.")
    return replace(outcome, error=lost)


def _botched(run: Run, error: Exception) -> Outcome:
    """Report a bug in showing a result."""
    bug = Unforeseen.of(error)
    outcome = _told(run, Outcome(result={}, error=bug), bug)
    if run.json:
        print(json_module.dumps(_document(run, outcome)))
    return outcome


def _outcome(run: Run, work: Callable[[], Outcome]) -> Outcome:
    signals: list[int] = []
    try:
        with _interruptible(signals):
            return work()
    except KeyboardInterrupt:
        return _interrupted()
    except Interrupted as error:
        return Outcome(result={}, error=error)
    except TaskError as error:
        return _interrupted() if signals else Outcome(result={}, error=error)
    except Exception as error:
        return Outcome(result={}, error=meaning_of(error))


def _told(run: Run, outcome: Outcome, error: TaskError) -> Outcome:
    """Show the traceback of what nobody foresaw, and return an outcome without the key."""
    redact(run, error)
    if not error.bugs:
        return outcome
    key = _key(run)
    for bug in error.bugs:
        for line in without_key("".join(traceback.format_exception(bug)), key).splitlines():
            say(line)
    # Whatever a library has put into its error is in the result of a task for several, too.
    return replace(outcome, result=document_without_key(outcome.result, key))


def redact(run: Run, error: TaskError) -> None:
    """Remove the key from an error's text, because a library may have put it there."""
    error.message = without_key(error.message, _key(run))
    error.hint = without_key(error.hint, _key(run))


def _key(run: Run) -> str | None:
    try:
        return run.settings.qdrant.api_key
    except Exception:  # wrong settings have been reported already
        return os.environ.get("QDRANT_API_KEY")


def _interrupted() -> Outcome:
    hint = (
        "What was half-done is removed, or the next run removes it. Run it again whenever you like."
    )
    return Outcome(result={}, error=Interrupted("Interrupted.", hint=hint))


def _document(run: Run, outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    document: dict[str, Any] = {
        "ok": error is None,
        "task": run.name,
        "exit_code": error.exit_code if error else 0,
        "result": dict(outcome.result),
        "error": {"kind": error.kind, "message": error.message, "hint": error.hint}
        if error
        else None,
    }
    return {key: named_document(value) for key, value in document.items()}


@contextmanager
def _interruptible(seen: list[int]) -> Iterator[None]:
    """Turn the first signal into KeyboardInterrupt; later ones do not disturb the clean-up."""

    def handle(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 1:
            raise KeyboardInterrupt
        say("still cleaning up, please wait")

    def lost(what: sys.UnraisableHookArgs) -> None:
        # Python loses an interruption where nothing can be raised, such as in a destructor.
        if seen and what.exc_type is KeyboardInterrupt:
            again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), seen.pop()))
            again.daemon = True
            again.start()
        else:
            sys.__unraisablehook__(what)

    previous = {number: signal.signal(number, handle) for number in INTERRUPTING_SIGNALS}
    hook, sys.unraisablehook = sys.unraisablehook, lost
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)
