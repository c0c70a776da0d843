"""Data forms (XEP-0004): what is written is read again; what is none is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import wire
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.forms import KINDS, Field, Form, parse, typed
from jabberd_tx.xmpp.stanza import Stanza

TEXTS = st.text(st.characters(codec='utf-8', categories=('L', 'N', 'P', 'S', 'Zs')), max_size=20)
FIELDS = st.builds(Field, TEXTS, st.lists(TEXTS, max_size=3).map(tuple), TEXTS, TEXTS, st.booleans())
FORMS = st.builds(Form, st.sampled_from(KINDS), st.lists(FIELDS, max_size=4).map(tuple), TEXTS, TEXTS)


def read(xml: str) -> Form:
    (stanza,) = wire.parse(f'<message>{xml}</message>'.encode())
    assert isinstance(stanza, Stanza)
    return parse(next(stanza.element.elements()))


@given(FORMS)
@pytest.mark.fuzz
def test_what_is_written_is_read_again(form: Form) -> None:
    """Names, types, labels, values and texts of any characters."""
    assert read(form.xml()) == form


@given(st.text("<>/x'= valuefieldtype:", max_size=60))
@pytest.mark.fuzz
def test_other_elements_are_no_forms_or_read(inner: str) -> None:
    """Whatever stands inside: a form, or ValueError."""
    xml = f"<x xmlns='{ns.DATA_FORMS}' type='submit'>{inner}</x>"
    try:
        (stanza,) = wire.parse(f'<message>{xml}</message>'.encode())
    except Exception:
        return
    if isinstance(stanza, Stanza):
        assert isinstance(parse(next(stanza.element.elements())), Form)


@pytest.mark.parametrize('xml', ["<x xmlns='jabber:x:data'/>", "<x xmlns='y' type='form'/>", "<y type='form'/>"])
def test_what_is_no_form(xml: str) -> None:
    """Another name or namespace, or none of the four types."""
    with pytest.raises(ValueError, match='no data form'):
        read(xml)


def test_values_are_found_by_name() -> None:
    """The first field counts; '' and () where there is none."""
    form = typed('urn:x', Field('a', ('1', '2')), Field('a', ('3',)), Field('b'))
    assert form.form_type == 'urn:x'
    assert (form.values('a'), form.value('a')) == (('1', '2'), '1')
    assert (form.values('b'), form.value('b', 'none'), form.value('c')) == ((), 'none', '')
