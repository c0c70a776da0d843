"""Who plays whom."""

from __future__ import annotations

from jabberd_tx.load.cast import Cast, Line, Part, xml_of
from jabberd_tx.load.report import Report, percentiles
from jabberd_tx.xmpp.traffic import Sent


def one(at, sender, to, kind='message', type='', **more):
    """A stanza without content."""
    return Sent(at, sender, to, kind, type, 0, (), **more)


def test_accounts_and_sessions_stand_for_those_of_the_recording():
    """Numbered as they come; who says later that it is there does not before, and who was written to is there."""
    recorded = [
        one(7.0, 'u2@d1/r1', 'u1@d1', type='chat'),
        one(5.0, 'u1@d1/r1', '', 'presence'),
        one(6.0, 'u1@d1/r1', 'u2@d1/r9', type='chat'),
        one(8.0, 'u1@d1/r1', 'u3@d1', type='chat'),
        one(9.0, 'u1@d1/r1', 'd1', 'iq', 'get'),
    ]
    cast = Cast(recorded, 'localhost', 'test', {})
    assert cast.accounts == ['test1', 'test2', 'test3']
    assert cast.parts == [Part(1, 'r1', False), Part(2, 'r1', True), Part(2, 'r9', True), Part(3, '', True)]
    assert [(line.at, line.part, line.to) for line in cast.lines] == [
        (0.0, 0, ''), (1.0, 0, 'test2@localhost/r9'), (2.0, 1, 'test1@localhost'), (3.0, 0, 'test3@localhost'),
        (4.0, 0, 'localhost'),
    ]  # fmt: skip
    assert len({line.id for line in cast.lines}) == 5 and not cast.left_out


def test_what_cannot_be_played_is_left_out():
    """Answers, and what is for domains that nobody stands for."""
    recorded = [
        one(1.0, 'u1@d1/r1', 'd1', 'iq', 'result'),
        one(2.0, 'u1@d1/r1', 'u5@d2', type='groupchat'),
        one(3.0, 'u1@d1/r1', 'd3'),
        one(4.0, 'u1@d1/r1', 'u9@d1/r1', 'iq', 'error'),
    ]
    cast = Cast(recorded, 'localhost', 'test', {'d2': 'rooms.localhost'})
    assert [line.to for line in cast.lines] == ['u5@rooms.localhost']
    assert cast.left_out == {'answers': 2, 'for other domains': 1}
    assert Cast([], 'localhost', 'test', {}).lines == []


def test_a_line_is_a_stanza():
    """With what is needed."""
    line = Line(0.0, 0, 'message', 'p1', "o'neill@localhost", 'chat', '<body>x</body>')
    assert xml_of(line) == "<message to='o&apos;neill@localhost' type='chat' id='p1'><body>x</body></message>"
    assert xml_of(Line(0.0, 0, 'presence', 'p2', '', '', '')) == "<presence id='p2'></presence>"


def test_percentiles():
    """The least wait that so many are within."""
    assert percentiles([]) == {}
    assert percentiles([3.0]) == {'50': 3.0, '95': 3.0, '99': 3.0, 'most': 3.0}
    waits = [n / 1000 for n in range(1, 1001)]
    assert percentiles(waits[::-1]) == {'50': 0.5, '95': 0.95, '99': 0.99, 'most': 1.0}


def test_a_report_says_what_went_wrong():
    """In words and as a map."""
    report = Report()
    assert report.good and 'errors         none' in report.text()
    report.sent.update(message=4)
    report.arrived.update(message=3)
    report.waits['message'] = [0.002, 0.004]
    report.failed['not-authorized'] += 2
    report.seconds = 2.0
    text = report.text()
    assert '4 stanzas in 2.0 s, 2.0 a second' in text and '2 not-authorized' in text
    assert '4 sent, 3 arrived; 50 % within 2.0, 95 % within 4.0, 99 % within 4.0, the slowest 4.0 ms' in text
    assert not report.good and report.as_dict()['failed'] == {'not-authorized': 2}
