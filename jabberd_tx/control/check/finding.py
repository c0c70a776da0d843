"""What a check finds."""

from __future__ import annotations

from typing import NamedTuple

OK, WARN, FAIL = 'ok', 'warn', 'fail'


class Finding(NamedTuple):
    """One line of `jabberd-ctl check`.

    level    OK; WARN: works, and will disappoint; FAIL: does not work
    subject  what was looked at: 'certificate', 'port 5222'
    text     what was found
    advice   what to do about it
    """

    level: str
    subject: str
    text: str
    advice: str = ''

    def __str__(self) -> str:
        return f'{self.level:4}  {self.subject}: {self.text}' + (f' — {self.advice}' if self.advice else '')
