"""Do the same for several items: continue after failures, and report them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from snapshot_tasks.domain.failure import Failure, joined
from snapshot_tasks.system.errors import Interrupted, TaskError, meaning_of

Item = TypeVar("Item")
Result = TypeVar("Result")


def _no_error(result: object) -> TaskError | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Result]):
    """The result of each item, and each failure, both in the order of the items."""

    results: tuple[Result, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def error(self) -> TaskError | None:
        """One error that names every failure, if there is any."""
        return joined(self.failures)


def for_each(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    *,
    name: Callable[[Item], str],
    error_of: Callable[[Result], TaskError | None] = _no_error,
) -> Batch[Result]:
    """Work on each item. No error of one item stops the others, not even one nobody foresaw.

    `error_of` is for a result that has an error itself: such a result counts as both.

    Raises:
        Interrupted: if the user interrupted the work; that stops all items.
    """
    results: list[Result] = []
    failures: list[Failure] = []
    for item in items:
        try:
            result = work(item)
        except Interrupted:
            raise
        except TaskError as error:
            failures.append(Failure(name=name(item), error=error))
            continue
        except Exception as error:
            failures.append(Failure(name=name(item), error=meaning_of(error)))
            continue
        results.append(result)
        if failed := error_of(result):
            failures.append(Failure(name=name(item), error=failed))
    return Batch(results=tuple(results), failures=tuple(failures))
