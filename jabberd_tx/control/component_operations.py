"""What an admin socket answers about component plugins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jabberd_tx.control.admin import Operation


def components_operation(listing: Callable[[], list[dict[str, Any]]]) -> Operation:
    """`components`: what the process's `listing` tells of each plugin."""

    async def components() -> list[dict[str, Any]]:
        return listing()

    return components
