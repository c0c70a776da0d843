"""SQLAlchemy Core statements as a DB-API cursor takes them: compiled once, then executed as text.

SQLAlchemy's own execution costs some 40 µs a call; a compiled statement costs a dict look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Executable, LargeBinary
from sqlalchemy.sql.base import ColumnCollection
from sqlalchemy.sql.elements import ClauseElement

Convert = Callable[[Any], Any]

# More distinct statements than this are no constants; the cache is then made anew.
MOST = 1024


class Compiled(NamedTuple):
    """sql        with named parameters
    constants     parameters that the statement itself gives, besides those of the call
    to_driver     parameters whose values must be converted before the driver takes them
    from_driver   what must be done to the column of that index
    """

    sql: str
    constants: Mapping[str, Any]
    to_driver: tuple[tuple[str, Convert], ...]
    from_driver: tuple[tuple[int, Convert], ...]


class Statements:
    """The compiled statements of one dialect, by the statement object."""

    __slots__ = ('_compiled', '_dialect')

    def __init__(self, dialect: Dialect) -> None:
        """`dialect`: with paramstyle 'named' (or 'pyformat'), for parameters are given as a dict."""
        self._dialect = dialect
        self._compiled: dict[Executable, Compiled] = {}

    def get(self, statement: Executable, names: Iterable[str]) -> Compiled:
        """`names`: those of the call's parameters."""
        compiled = self._compiled.get(statement)
        if compiled is None:
            if len(self._compiled) >= MOST:
                self._compiled.clear()
            compiled = self._compiled[statement] = self._compile(statement, names)
        return compiled

    def _compile(self, statement: Executable, names: Iterable[str]) -> Compiled:
        dialect = self._dialect
        assert isinstance(statement, ClauseElement)
        given = list(names)
        compiled: Any = statement.compile(
            dialect=dialect, column_keys=given if getattr(statement, 'is_insert', False) else None
        )
        to_driver = []
        for name, bind in compiled.binds.items():
            if not isinstance(bind.type, LargeBinary):
                convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
                if convert is not None:
                    to_driver.append((name, convert))
        columns: ColumnCollection[str, Any] | None = getattr(statement, 'selected_columns', None)
        from_driver = []
        for index, column in enumerate(columns or ()):
            if not isinstance(column.type, LargeBinary):
                convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
                if convert is not None:
                    from_driver.append((index, convert))
        constants = {name: value for name, value in compiled.params.items() if name not in given}
        return Compiled(str(compiled), constants, tuple(to_driver), tuple(from_driver))
