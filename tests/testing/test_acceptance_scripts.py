"""Acceptance scripts: what is written is what is played, and what can't be played is told with file and line."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import tostring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing.acceptance.matching import difference, filled_in
from jabberd_tx.testing.acceptance.script import ScriptError, element, parse, read

FOLDER = Path(__file__).parents[1] / 'acceptance'

GOOD = """# What it shows.

there is no account of mab
juliet and romeo are contacts
juliet/balcony comes online
juliet/balcony sends
    <message to='$nurse'>
      <body>

        Peace</body>
    </message>

    <presence/>
juliet/balcony receives in any order:
    <presence from='$mab'/>
juliet/balcony receives nothing
the stream of juliet/balcony ends with conflict
juliet/balcony logs in
"""


def test_a_script_has_steps_with_their_lines_and_users() -> None:
    """Several elements to a step, blank lines in them; who is named has an account, but for who is said not to."""
    script = parse(GOOD, 'good')
    assert script.title == 'What it shows.'
    assert [(step.line, step.verb, len(step.xml)) for step in script.steps] == [
        (3, 'nobody', 0), (4, 'contacts', 0), (5, 'online', 0), (6, 'send', 2), (14, 'receive in any order', 1),
        (16, 'receive nothing', 0), (17, 'ended', 0), (18, 'login', 0),
    ]  # fmt: skip
    assert script.steps[6].detail == 'conflict'
    assert set(script.users) == {'juliet', 'romeo', 'nurse'}


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('juliet logs in', 's.txt: expected a comment that says what it shows'),
        ('# x\njuliet dances', "s.txt:2: not understood: 'juliet dances'"),
        ('# x\nJuliet logs in', "s.txt:2: not understood: 'Juliet logs in'"),
        ('# x\n  <presence/>', 's.txt:2: XML with no line before it that sends or receives'),
        ('# x\njuliet logs in\njuliet sends\n', "s.txt:3: expected indented XML after 'juliet sends'"),
        (
            '# x\njuliet logs in\njuliet sends\n\n  <a>\n  </b>',
            's.txt:5: not well-formed XML: mismatched tag',
        ),
        ('# x\njuliet sends\n  <presence/>', 's.txt:2: juliet is not connected'),
        ('# x\njuliet logs in\njuliet comes online', 's.txt:3: juliet is connected already'),
        ('# x\njuliet logs in\njuliet leaves\njuliet receives nothing', 's.txt:4: juliet is not connected'),
        ('# x\njuliet connects elsewhere', 's.txt:2: juliet has not been connected before'),
        ('# x\nthere is no account of mab\nmab logs in', 's.txt:3: somebody without an account'),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(text: str, said: str) -> None:
    """One line, and what was expected."""
    with pytest.raises(ScriptError) as raised:
        parse(text, 's', 's.txt')
    assert str(raised.value) == said


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    """By its name."""
    (tmp_path / 'bad.txt').write_bytes(b'# x\n\xff')
    with pytest.raises(ScriptError, match='bad.txt: not UTF-8'):
        read(tmp_path / 'bad.txt')


@pytest.mark.fuzz
@given(st.one_of(st.text(), st.lists(st.sampled_from([*GOOD.splitlines(), '  <a', '  >', '  </a>'])).map('\n'.join)))
def test_any_text_is_a_script_or_a_script_error(text: str) -> None:
    """Nothing else is raised, and each step is a line of the text."""
    try:
        script = parse('# x\n' + text, 's', 's.txt')
    except ScriptError as error:
        assert str(error).startswith('s.txt')
    else:
        lines = ('# x\n' + text).splitlines()
        assert all(lines[step.line - 1].startswith(('the', step.who)) for step in script.steps)


def test_the_projects_own_scripts_can_be_read_and_say_what_they_show() -> None:
    """Each has steps in which something is expected."""
    scripts = [read(path) for path in FOLDER.glob('*.txt')]
    assert len(scripts) >= 9
    for script in scripts:
        assert script.title.endswith('.'), script.name
        assert any(step.verb.startswith(('receive', 'ended')) for step in script.steps), script.name


# ---- matching


@pytest.mark.parametrize(
    ('wanted', 'found'),
    [
        ("<message id='1'/>", "<message id='1' from='a' xml:lang='en'/>"),
        ("<message id='1...9'/>", "<message id='1-9'/>"),
        ('<message>...</message>', '<message><body>hi</body></message>'),
        ('<message><body>h...</body></message>', '<message>\n <body>hi</body> </message>'),
        ('<message><body/>...</message>', '<message><thread/><body/></message>'),
        ('<message><body>1</body><body>2</body></message>', '<message><body>2</body><body>1</body></message>'),
        ("<message id='{a}' from='{a}'/>", "<message id='x' from='x'/>"),
        ("<iq><x xmlns='urn:a' v='1'/></iq>", "<iq><y:x xmlns:y='urn:a' v='1' w='2'/></iq>"),
    ],
)
def test_what_matches(wanted: str, found: str) -> None:
    """Attributes that are not written, wildcards, any order, other prefixes."""
    assert difference(element(wanted), element(found), {}) == ''


@pytest.mark.parametrize(
    ('wanted', 'found', 'said'),
    [
        ('<message/>', '<presence/>', 'expected <message/>, not <presence/>'),
        ("<message id='1'/>", '<message/>', '<message/> has no id'),
        ("<message id='1'/>", "<message id='2'/>", "<message/>: id is '2', not '1'"),
        ('<message/>', "<message type='chat'/>", "<message/>: type is 'chat', and none is expected"),
        ('<message/>', '<message><body/></message>', '<message/>: <body/> is not expected'),
        ('<message><body/></message>', '<message/>', '<message/>: no <body/>'),
        ('<message><body>a</body></message>', '<message><body>b</body></message>', "<body/> holds 'b', not 'a'"),
        ("<iq><x xmlns='urn:a'/></iq>", "<iq><x xmlns='urn:b'/></iq>", "no <x xmlns='urn:a'/>"),
        ("<message id='{a}' from='{a}'/>", "<message id='x' from='y'/>", "from is 'y'"),
    ],
)
def test_what_does_not_match_is_told(wanted: str, found: str, said: str) -> None:
    """In words."""
    assert said in difference(element(wanted), element(found), {})


def test_what_is_kept_is_compared_and_filled_in() -> None:
    """Only from what has matched as a whole."""
    kept: dict[str, str] = {}
    assert difference(element("<iq id='{id}'><x/></iq>"), element("<iq id='7'/>"), kept)
    assert kept == {}
    assert not difference(element("<iq id='p-{id}'/>"), element("<iq id='p-7'/>"), kept)
    assert kept == {'id': '7'}
    assert filled_in("<iq id='{id}'/>", kept) == "<iq id='7'/>"
    assert difference(element("<iq id='p-{id}'/>"), element("<iq id='p-8'/>"), kept)


NAMES = st.sampled_from(['a', 'b', 'urn'])
TREES = st.recursive(
    st.builds(lambda name, text: f'<{name}>{text}</{name}>', NAMES, st.sampled_from(['', 'x', 'y z'])),
    lambda inner: st.builds(
        lambda name, value, parts: f"<{name} v='{value}'>{''.join(parts)}</{name}>", NAMES, NAMES, st.lists(inner)
    ),
    max_leaves=8,
)


@pytest.mark.fuzz
@given(TREES)
def test_an_element_is_like_itself(xml: str) -> None:
    """However it is written, and whatever its children are."""
    found = element(xml)
    assert difference(found, element(tostring(found, 'unicode')), {}) == ''
