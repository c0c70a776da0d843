"""What a first start needs and a site has: the data folder, and a certificate for each [[certificate]].

`python -m jabberd_tx.services.first_start CONFIG` makes what is missing and prints the data folder.  A certificate
made here is signed by itself: good for trying out, and for one's own machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jabberd_tx.base import site, tls
from jabberd_tx.base.certificates import self_signed
from jabberd_tx.base.options import Config, ConfigError, load
from jabberd_tx.services.sections import all_sections


def prepare(config: Config) -> Path:
    """Make what is not there yet; gives the data folder.  OSError for a folder that may not be written to."""
    server = config.section(site.OPTIONS)
    data = Path(server.data).resolve()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    for certificate in config.section(tls.OPTIONS):
        chain, key = Path(certificate.chain), Path(certificate.key)
        if chain.exists() or key.exists():
            continue
        for folder in (chain.parent, key.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self_signed(certificate.domains or server.domains, chain, key)
    return data


def main(arguments: list[str]) -> int | str:
    """The command; gives its exit status, or a line that says what is wrong."""
    if len(arguments) != 1:
        return 'usage: python -m jabberd_tx.services.first_start CONFIG'
    try:
        print(prepare(load(arguments[0], all_sections())))
    except (ConfigError, OSError) as error:
        return str(error)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
