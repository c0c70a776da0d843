"""What an admin socket answers about modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jabberd_tx.control.admin import Operation


def modules_operation(listing: Callable[[], list[dict[str, Any]]]) -> Operation:
    """`modules`: what the session manager's `listing` tells of each."""

    async def modules() -> list[dict[str, Any]]:
        return listing()

    return modules
