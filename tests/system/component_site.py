"""A site with a gateway for external components: in the one process, or in a `jabberd-component` of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from processes import DOMAIN, Process, Site, wait_for

from jabberd_tx.testing.ports import free_port

SECRET = 'a secret of components'
SETTINGS = """
[gateway]
port = {port}
"""
TABLE = """
[[external_component]]
name = "{name}"
secret = "{secret}"
connections = {connections}
"""


class ComponentSite(Site):
    """port: of the gateway; `gateway`: the process that it is in."""

    port: int
    gateway: Process

    def connections(self, name: str) -> float:
        """How many serve the name."""
        return self.gateway.metric(f'jabberd_gateway_connections{{name="{name}"}}')

    def wait_connections(self, name: str, count: int) -> None:
        """Until so many do."""
        wait_for(f'{count} serve {name}', lambda: self.connections(name) == count)

    def run_gateway(self) -> None:
        """Start it where it is a process of its own."""
        if self.shape == 'one process':
            self.gateway = self.processes['jabberd']
            return
        self.gateway = self.run('component-a', 'jabberd-component', '--node', 'a')
        wait_for('component-a is ready', self.gateway.ready)


@contextmanager
def component_site(
    folder: Path, shape: str, names: Sequence[str], users: Sequence[str] = ('juliet',), more: str = '', **options: int
) -> Iterator[ComponentSite]:
    """Running, with the names (NAME.localhost) and users; options: `connections` of each name."""
    port = free_port()
    connections = options.get('connections', 1)
    tables = [TABLE.format(name=f'{name}.{DOMAIN}', secret=SECRET, connections=connections) for name in names]
    site = ComponentSite(folder, shape, SETTINGS.format(port=port) + more + ''.join(tables))
    site.port = port
    with site:
        site.run_all()
        site.run_gateway()
        for user in users:
            site.add_user(user, f'{user}-secret')
        yield site
        if shape != 'one process':
            assert site.gateway.stop() == -signal.SIGTERM, site.gateway.text()
