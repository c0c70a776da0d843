"""Data forms (XEP-0004): read from a tree, written as XML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from twisted.words.xish.domish import Element

from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.writer import escape, start_tag

FORM_TYPE = 'FORM_TYPE'
KINDS = ('form', 'submit', 'cancel', 'result')
# What a field without a type is (§3.3); a submitted one needs none.
TEXT = 'text-single'


class Field(NamedTuple):
    """var: its name, '' for a fixed text; kind: 'text-single', 'hidden' …, '' where it was not said."""

    var: str
    values: tuple[str, ...] = ()
    kind: str = ''
    label: str = ''
    required: bool = False


class Form(NamedTuple):
    """kind: one of KINDS."""

    kind: str
    fields: tuple[Field, ...]
    title: str = ''
    instructions: str = ''

    def values(self, var: str) -> tuple[str, ...]:
        """Those of the first field of that name; () without one."""
        for field in self.fields:
            if field.var == var:
                return field.values
        return ()

    def value(self, var: str, default: str = '') -> str:
        """The first of them."""
        values = self.values(var)
        return values[0] if values else default

    @property
    def form_type(self) -> str:
        """What the fields' names are defined by (XEP-0068); '' where none is said."""
        return self.value(FORM_TYPE)

    def xml(self) -> str:
        """<x/>."""
        parts = [start_tag('x', {'xmlns': ns.DATA_FORMS, 'type': self.kind}), '>']
        if self.title:
            parts.append(f'<title>{escape(self.title)}</title>')
        if self.instructions:
            parts.append(f'<instructions>{escape(self.instructions)}</instructions>')
        for field in self.fields:
            named = {'var': field.var, 'type': field.kind, 'label': field.label}
            parts += start_tag('field', {key: value for key, value in named.items() if value}), '>'
            if field.required:
                parts.append('<required/>')
            parts += [f'<value>{escape(value)}</value>' for value in field.values]
            parts.append('</field>')
        return ''.join([*parts, '</x>'])


def typed(form_type: str, *fields: Field, kind: str = 'result') -> Form:
    """A form with FORM_TYPE as its first field."""
    return Form(kind, (Field(FORM_TYPE, (form_type,), 'hidden'), *fields))


def parse(element: Element) -> Form:
    """The form that an <x/> is; ValueError: it is none (§3.2)."""
    kind = element.getAttribute('type')
    if (element.uri, element.name) != (ns.DATA_FORMS, 'x') or kind not in KINDS:
        raise ValueError('no data form')
    fields = []
    for field in element.elements(ns.DATA_FORMS, 'field'):
        values = tuple([text_of(value) for value in field.elements(ns.DATA_FORMS, 'value')])
        said = [field.getAttribute(name) or '' for name in ('var', 'type', 'label')]
        required = next(field.elements(ns.DATA_FORMS, 'required'), None) is not None
        fields.append(Field(said[0], values, said[1], said[2], required))
    title, instructions = (_joined(element.elements(ns.DATA_FORMS, name)) for name in ('title', 'instructions'))
    return Form(kind, tuple(fields), title, instructions)


def text_of(element: Element) -> str:
    """What stands directly in an element."""
    return ''.join([part for part in element.children if isinstance(part, str)])


def _joined(elements: Iterable[Element]) -> str:
    return '\n'.join([text_of(element) for element in elements])
