"""Writes what is made from the options' declarations: `python -m jabberd_tx.services.reference` in a checkout."""

from __future__ import annotations

from pathlib import Path

from jabberd_tx.components.sm.finding import found
from jabberd_tx.control.module_reference import module_page
from jabberd_tx.control.reference import Settings, page, toml_file
from jabberd_tx.services.sections import all_sections

# What the example for a first start sets: all that it needs, and nothing that is not obvious.
FIRST_START: Settings = {
    'server': {'domains': ['localhost'], 'data': '../var'},
    'certificate': [{'chain': 'tls/localhost.pem', 'key': 'tls/localhost-key.pem'}],
}


def generated() -> dict[str, str]:
    """The text of each generated file, by its path in the checkout."""
    sections = all_sections()
    return {
        'etc/jabberd.toml': toml_file(sections, FIRST_START),
        'docs/configuration.md': page(sections),
        'docs/modules-reference.md': module_page(list(found().values())),
    }


def main() -> None:
    """Write them, below the working directory."""
    for path, text in generated().items():
        Path(path).write_text(text, 'utf-8')


if __name__ == '__main__':
    main()
