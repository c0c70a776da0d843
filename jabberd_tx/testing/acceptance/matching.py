"""Whether an element is as a script says.

- An attribute that is written must be there, and be so.  Of those that are not written only a stanza's `type` is looked
  at: it must not be there.
- Children must all be there, in any order, and no others.  Text counts without the space around it.
- `...` in a value or a text stands for anything; in an element's text, for any other children too.
- `{name}` stands for anything the first time and is kept; from then on it stands for what was kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from jabberd_tx.testing.acceptance.script import CAPTURE

STANZAS = ('{jabber:client}message', '{jabber:client}presence', '{jabber:client}iq')
ANYTHING = '...'


def difference(wanted: Element, found: Element, kept: dict[str, str]) -> str:
    """What is not as wanted, in words; '' when all is.  Then `kept` has what was captured."""
    captured = dict(kept)
    said = _element(wanted, found, captured)
    if not said:
        kept.update(captured)
    return said


def filled_in(text: str, kept: Mapping[str, str]) -> str:
    """Each {name} replaced by what was kept; KeyError when nothing was."""
    return CAPTURE.sub(lambda match: kept[match[1]], text)


def _element(wanted: Element, found: Element, kept: dict[str, str]) -> str:
    name = _name(wanted)
    if wanted.tag != found.tag:
        return f'expected {name}, not {_name(found)}'
    for key, value in wanted.attrib.items():
        there = found.get(key)
        if there is None:
            return f'{name} has no {key}'
        if not _text(value, there, kept):
            return f'{name}: {key} is {there!r}, not {value!r}'
    if wanted.tag in STANZAS and 'type' in found.attrib and 'type' not in wanted.attrib:
        return f'{name}: type is {found.get("type")!r}, and none is expected'
    return _content(wanted, found, name, kept)


def _content(wanted: Element, found: Element, name: str, kept: dict[str, str]) -> str:
    text = _own_text(wanted)
    open_ended = len(wanted) > 0 and ANYTHING in text or text == ANYTHING
    if not open_ended and not _text(text, _own_text(found), kept):
        return f'{name} holds {_own_text(found)!r}, not {text!r}'
    left = list(found)
    for child in wanted:
        reasons = []
        for other in left:
            captured = dict(kept)
            reason = _element(child, other, captured)
            if not reason:
                left.remove(other)
                kept.update(captured)
                break
            if other.tag == child.tag:
                reasons.append(reason)
        else:
            return f'{name}: ' + (reasons[0] if reasons else f'no {_name(child)}')
    if left and not open_ended:
        return f'{name}: {_name(left[0])} is not expected'
    return ''


def _text(wanted: str, found: str, kept: dict[str, str]) -> bool:
    pattern, names = '', []
    for part in re.split(r'(\.\.\.|\{[a-z_]+\})', wanted):
        match = CAPTURE.fullmatch(part)
        if part == ANYTHING:
            pattern += '.*'
        elif match is None or match[1] in kept:
            pattern += re.escape(part if match is None else kept[match[1]])
        else:
            pattern += '(.+)'
            names.append(match[1])
    matched = re.fullmatch(pattern, found, re.S)
    if matched is None:
        return False
    kept.update(zip(names, matched.groups(), strict=True))
    return True


def _own_text(element: Element) -> str:
    """Between its children as well, without the space around it."""
    return ' '.join(''.join([element.text or '', *[child.tail or '' for child in element]]).split())


def _name(element: Element) -> str:
    ns, _, name = element.tag.rpartition('}')
    return f'<{name}/>' if ns in ('', '{jabber:client') else f"<{name} xmlns='{ns[1:]}'/>"
