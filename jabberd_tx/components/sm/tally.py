"""What modules do, counted for each where they are called, and read when somebody asks."""

from __future__ import annotations

from collections.abc import Callable

from jabberd_tx.base.metrics import Metrics

# What the session manager does itself, without a module.
OWN = 'sm'


class Tally:
    """One module's numbers.

    calls     of its hooks' handlers and of what answers IQs; not of message_concerns, which is asked about everything
    failures  calls that ended with an exception that is no StanzaError
    answered  IQs
    seconds   from when those were taken until they were answered
    """

    __slots__ = ('answered', 'calls', 'failures', 'seconds')

    def __init__(self) -> None:
        self.calls = self.failures = self.answered = 0
        self.seconds = 0.0


class Tallies:
    """Those of all modules of a session manager, by name."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._by_name: dict[str, Tally] = {}
        if metrics is None:
            return
        for name, help, number in (
            ('jabberd_module_calls', 'Calls of a module.', lambda tally: tally.calls),
            ('jabberd_module_failures', 'Calls of a module that failed.', lambda tally: tally.failures),
            ('jabberd_module_answers', 'IQs that a module has answered.', lambda tally: tally.answered),
            ('jabberd_module_answer_seconds', 'What the answers took, waiting included.', lambda tally: tally.seconds),
        ):
            metrics.counted(name, help, self._reader(number), label='module')

    def of(self, owner: str) -> Tally:
        """The module's; '' is the session manager itself."""
        return self._by_name.setdefault(owner or OWN, Tally())

    def _reader(self, number: Callable[[Tally], float]) -> Callable[[], dict[str, float]]:
        return lambda: {name: number(tally) for name, tally in self._by_name.items()}
