"""A command line that Invoke cannot parse ends as a task does: two lines, one JSON document, and 1.

Invoke loads a `tasks.py` before it parses the tasks, so this also works for its own program, `inv`,
but not for what it needs to find that file: `inv --collection NAME TASK` never gets here.
"""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.program import Program

from snapshot_tasks.cli.calling import NamedTask, Way, way
from snapshot_tasks.cli.command import end_before
from snapshot_tasks.cli.flags import COLLECTION, SHORT_COLLECTION, NameFlag
from snapshot_tasks.domain.names import SUFFIX
from snapshot_tasks.system.errors import SettingsError, TaskError, Unparsable
from snapshot_tasks.system.nearest import MAX_SUGGESTIONS, meant, nearest
from snapshot_tasks.system.untrusted import printable, sentence

MAX_WORD = 100
# The launcher says this itself. So Invoke takes no other file of tasks for `--collection NAME`, and
# leaves the NAME to be parsed as a task.
LAUNCHED = "--collection=tasks"
ALL_TASKS, CORE_FLAGS = "`inv --list` shows all tasks.", "`inv --help` shows all flags."
_UNKNOWN = re.compile(r"No idea what ['\"](?P<word>.+)['\"] is!", re.DOTALL)
_MISSING = re.compile(r"Flag <\w+: (?P<flag>\S+?)_?[ >].* needed value and was not given one!")
_NO_GROUP = re.compile(r"Sub-collection '(?P<word>.+)' not found!", re.DOTALL)


def answer_mistakes() -> None:
    """Let Invoke's programs answer mistakes in our tasks; other tasks keep Invoke's words."""
    for name in ("parse_core", "parse_tasks", "parse_cleanup"):
        setattr(Program, name, _answering(getattr(Program, name)))


def _answering(parse: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(parse)
    def answering(program: Program, *arguments: Any) -> None:
        try:
            if parse.__name__ == "parse_tasks":
                _refuse_launched_collection(program)
            parse(program, *arguments)
        except (ParseError, Exit) as error:
            if not _is_ours(program, error):
                raise
            words, mistake = _typed(program), _mistake(program, error)
            end_before(_task(program, error), program.config, mistake, json="--json" in words)

    return answering


def _is_ours(program: Program, error: ParseError | Exit) -> bool:
    """Whether a mistake was made with a task of ours, or in a word that may mean one."""
    if isinstance(error, Exit):
        return bool(_NO_GROUP.fullmatch(error.message or "")) and any(_ours(program))
    context = error.context
    if context and context.name:
        return context.name in dict(_ours(program))
    unknown = _UNKNOWN.fullmatch(str(error))
    names = nearest_tasks(unknown["word"], _names(program)) if unknown else []
    ours = dict(_ours(program))
    return any(name in ours for name in names or ours)


def _mistake(program: Program, error: ParseError | Exit) -> TaskError:
    """Return what is wrong with the command line, and what to do about it.

    A name without its value is a wrong setting, as an empty one is.
    """
    if isinstance(error, Exit):
        word = printable(str(error.message).split("'")[1], limit=MAX_WORD)
        groups = {name.rpartition(".")[0] for name in _names(program)} - {""}
        near = meant(nearest(word, groups))
        return Unparsable(f"There is no group of tasks {word}.", hint=f"{near}{ALL_TASKS}")
    if isinstance(error.__cause__, SettingsError):
        return Unparsable(error.__cause__.message, hint=error.__cause__.hint)
    text, name = str(error), error.context.name if error.context else None
    explained = f"`inv {name} --help` explains each flag." if name else CORE_FLAGS
    if unknown := _UNKNOWN.fullmatch(text):
        return _unknown(program, unknown["word"], error.context, explained)
    if missing := _MISSING.fullmatch(text):
        flag = missing["flag"].replace("_", "-")
        names_things = isinstance(_flag(error.context, f"--{flag}"), NameFlag)
        kind = SettingsError if names_things else Unparsable
        return kind(f"--{flag} needs a value.", hint=explained)
    text = printable(text)
    return Unparsable(sentence(text), hint=explained)


def _unknown(
    program: Program, word: str, context: ParserContext | None, explained: str
) -> TaskError:
    shown = printable(word, limit=MAX_WORD)
    if not word.startswith("-"):
        return _surplus(program, word, context) or Unparsable(
            f"There is no task {shown}.",
            hint=printable(_remedy(program, word, context)),
        )
    core = _flags(program.initial_context)
    if context and context.name:
        near = meant(nearest(word, (*_flags(context), *core)))
        return Unparsable(f"{context.name} has no flag {shown}.", hint=f"{near}{explained}")
    if early := _early(program, word):
        return early
    near = meant(nearest(word, core))
    return Unparsable(f"There is no flag {shown}.", hint=f"{near}{explained}")


def _remedy(program: Program, word: str, context: ParserContext | None) -> str:
    """Return what to do about a word that is no task: it may be a group of them, or a value."""
    if any(name.startswith(f"{word}.") for name in _names(program)):
        return f"It is a group of tasks; `inv --list {word}` shows them."
    is_file = word.endswith(SUFFIX)
    near = [] if is_file else nearest_tasks(word, _names(program))
    what = "snapshot" if is_file else COLLECTION
    if near or _flag(context, f"--{what}") is None:
        return f"{meant(near)}{ALL_TASKS}"
    return f"If it is a {what}, use `--{what} {shlex.quote(word)}`; {ALL_TASKS}"


def _surplus(program: Program, word: str, context: ParserContext | None) -> TaskError | None:
    """Return the error for a value that its flag does not take, or not again."""
    for before, here in itertools.pairwise(_typed(program)):
        name = before if here == word else here.removesuffix(f"={word}")
        flag = _flag(context, name) if name != here else None
        if flag and flag.takes_value:
            return Unparsable(f"--{flag.names[0]} was given twice.", hint="Give it once.")
        if flag and name != before:
            return Unparsable(f"{name} takes no value.", hint=f"Write only {name}.")
    return None


def _refuse_launched_collection(program: Program) -> None:
    """Refuse `./inv --collection NAME TASK`, of which Invoke has parsed all but the NAME.

    Raises:
        ParseError: as Invoke does for any other flag that is before its task.
    """
    if way() is not Way.LAUNCHER or LAUNCHED not in program.argv:
        return
    for word in _typed(program):
        if word in _names(program):
            return
        for flag in (f"--{COLLECTION}", f"-{SHORT_COLLECTION}"):
            if _is(word, flag):
                raise ParseError(f"No idea what {flag!r} is!", program.initial_context)


def _early(program: Program, flag: str) -> TaskError | None:
    """Return the error for a flag of a task that is before the task's name."""
    words = _typed(program)
    at = next((index for index, word in enumerate(words) if _is(word, flag)), None)
    takers = {name: taken for name, task in _ours(program) if (taken := _taken(task, flag))}
    if at is None or not takers:
        return None
    takes_value = next(iter(takers.values())).takes_value
    after = at + (2 if takes_value and words[at] == flag else 1)
    task = next((index for index in range(after, len(words)) if words[index] in takers), None)
    if task is None:
        hint = f"Name the task first; {ALL_TASKS}"
    else:
        rest = (*words[at:task], *words[task + 1 :])
        dry = ("--dry",) if program.args.dry.value else ()
        hint = f"Use `inv {shlex.join((words[task], *dry, *rest))}`."
    return Unparsable(f"{flag} is before the name of its task.", hint=printable(hint))


def _is(word: str, flag: str) -> bool:
    """Whether a word is this flag, perhaps with its value, as in `--label=x` or `-cx`."""
    is_short = not flag.startswith("--") and not word.startswith("--")
    return word.startswith(flag) if is_short else word.partition("=")[0] == flag


def _taken(task: NamedTask, flag: str) -> Argument | None:
    return _flag(ParserContext(args=task.get_arguments()), flag)


def _flag(context: ParserContext | None, flag: str) -> Argument | None:
    # `get` of Invoke's dictionary knows no short flags.
    found: Argument | None = context.flags[flag] if context and flag in context.flags else None
    return found


def _task(program: Program, error: ParseError | Exit) -> str:
    """Return the full name of the task that was meant, or an empty string."""
    ours = dict(_ours(program))
    context = error.context if isinstance(error, ParseError) else None
    named = [context.name] if context and context.name else _typed(program)
    return next((ours[name].full_name for name in named if name in ours), "")


def _typed(program: Program) -> list[str]:
    """Return the words as the user typed them, without those that the launcher adds."""
    words: list[str] = program.argv[1:]
    is_launched = way() is Way.LAUNCHER and LAUNCHED in words
    return words[words.index(LAUNCHED) + 1 :] if is_launched else words


def _namespace(program: Program) -> Collection:
    # Before the tasks are loaded, only `qdrant-snapshots` has any.
    return getattr(program, "collection", None) or program.namespace or Collection()


def _names(program: Program) -> list[str]:
    return list(_namespace(program).task_names)


def _ours(program: Program) -> Iterator[tuple[str, NamedTask]]:
    """Yield each task of ours, with the name that it has here."""
    namespace = _namespace(program)
    for name in namespace.task_names:
        if isinstance(task := namespace[name], NamedTask):
            yield name, task


def _flags(context: ParserContext) -> list[str]:
    return [flag for flag in context.flags if flag.startswith("--")]


def nearest_tasks(word: str, names: list[str]) -> list[str]:
    """Return the tasks most similar to a word, which may lack the group, as `create` does."""
    verbs = {name.rpartition(".")[2] for name in names}
    by_verb = [
        name for verb in nearest(word, verbs) for name in names if name.rpartition(".")[2] == verb
    ]
    return list(dict.fromkeys([*nearest(word, names), *by_verb]))[:MAX_SUGGESTIONS]
