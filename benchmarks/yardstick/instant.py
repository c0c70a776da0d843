"""Scenarios of instant messaging beyond plain chat: copies for other clients, rosters that a client knows already,
clients that nobody looks at.  Each is called with the Generator (loadgen.py)."""
import re
import time

from client import ERR, HUP, IN, OUT, Conn, Fail, now

CARBONS = b"<iq type='set' id='cb1'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
COPY = re.compile(rb'<(received|sent)[ >]|<body>#(\d{8})')
COPIES = 2  # resources of every second user that get copies
CONTACTS = 100  # in a roster
LOGINS = 5  # of each user, one after the other
AT_A_TIME = 10  # roster changes of a user, presence changes of the sender: then the answer to a request is awaited
STATUS = re.compile(rb'<status>#(\d{8})')
STATES = 50  # as AT_A_TIME, for chat states
INACTIVE, ACTIVE = b"<inactive xmlns='urn:xmpp:csi:0'/>", b"<active xmlns='urn:xmpp:csi:0'/>"
COMPOSING = b"<message to='%s' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"


def read(gen, take, done, what):
    """Hand what comes to take(connection, data) until done() says so; Fail when nothing has come for --stall."""
    last = now()
    while not done():
        if now() - last > gen.options.stall:
            raise Fail(f'stalled: {what}')
        for fd, event in gen.epoll.poll(0.2):
            c = gen.by_fd[fd]
            if event & OUT:
                c.flush()
            if event & (IN | HUP | ERR):
                data = c.recv()
                if data:
                    last = now()
                    if b'<stream:error' in data:
                        raise Fail(f'{c.user}: {data!r}')
                    take(c, data)


def ask(gen, requests, identity, take=None):
    """Send each connection its request, and wait for all answers, which have that id: a mapping connection -> data."""
    waiting, seen = set(requests), dict.fromkeys(requests, b'')
    wanted = re.compile(rb"<iq[^>]*\bid=['\"]%s['\"][^>]*>" % identity)

    def note(c, data):
        if take:
            take(c, data)
        if c in waiting:
            seen[c] += data
            answer = wanted.search(seen[c])
            if answer:
                if b'error' in answer.group():
                    raise Fail(f'{c.user}: {seen[c]!r}')
                waiting.discard(c)

    for c, request in requests.items():
        c.send(request)
    read(gen, note, lambda: not waiting, 'answers')
    return seen


def ping(gen):
    return b"<iq type='get' id='in1' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % gen.options.domain.encode()


# ---- carbons

def run_carbons(gen):
    """As chat, but every second user has two more clients that get copies of what it sends and gets."""
    gen.make_pairs()
    mains = gen.conns
    others = []
    for c in mains[1::2]:
        others += [Conn(gen, c.number, f'copy{number}') for number in range(COPIES)]
    gen.conns = mains + others
    target = gen.online + len(others)
    _log_in(gen, target)
    gen.drain(0.5)
    ask(gen, dict.fromkeys(mains[1::2] + others, CARBONS), b'cb1')
    gen.drain(0.5)
    for c in gen.conns:
        c.tail = b''
    for c in others:
        c.copies = {b'received': 0, b'sent': 0}
    gen.conns = mains
    gen.run_pairs()
    by_user = {c.user: c for c in mains}

    def missing():
        return sum(
            by_user[c.user].rcvd + by_user[c.user].sent - c.copies[b'received'] - c.copies[b'sent'] for c in others
        )

    read(gen, take_copies, lambda: missing() <= 0, 'copies that never came')
    for c in others:
        main = by_user[c.user]
        if (c.copies[b'received'], c.copies[b'sent']) != (main.rcvd, main.sent):
            raise Fail(f'{c.user}: {c.copies}, but {main.rcvd} received and {main.sent} sent')
    gen.conns = mains + others
    gen.result['copies_total'] = sum(sum(c.copies.values()) for c in others)
    gen.result['server_cpu_us_per_delivery'] = round(gen.result['server_cpu_us_per_msg'] / (1 + COPIES), 2)


def _log_in(gen, target):
    deadline = now() + gen.options.timeout
    while gen.online < target:
        if now() > deadline:
            raise Fail('login timeout')
        for fd, event in gen.epoll.poll(0.2):
            c = gen.by_fd[fd]
            if c.state != 'online':
                c.login_event(event)
            elif event & ~OUT:
                c.recv()


def take_copies(c, data):
    """Check the numbers of the copies in it: each way without a gap."""
    data = c.tail + data
    end = data.rfind(b'</forwarded>') + 1
    c.tail = data[end:] if end else data
    direction = None
    for way, number in COPY.findall(data[:end]):
        if way:
            direction = way
        elif direction is None or int(number) != c.copies[direction]:
            raise Fail(f'{c.user}: copy {number} of what was {direction}; copies so far: {c.copies}')
        else:
            c.copies[direction] += 1
    if b"type='error'" in data or b'type="error"' in data:
        raise Fail(f'{c.user}: error stanza: {data[-500:]!r}')


# ---- logins with a roster

def run_roster_login(gen):
    """Logins of users who have 100 contacts and say the version of the roster that they know: no contact is sent."""
    gen.need_roster, gen.versions = True, {}
    gen.login_all(gen.options.users)
    _fill_rosters(gen)
    gen.versions = {c.user: version_of(c.items) for c in gen.conns}
    gen.result['versioning'] = gen.offers_versions and all(gen.versions.values())
    _log_out(gen)
    cpu = wall = size = 0.0
    gen.check_server()
    for _ in range(LOGINS):
        cpu_before, began = gen.sample()[0], now()
        gen.login_all(gen.options.users)
        wall += now() - began
        cpu += gen.sample()[0] - cpu_before
        if gen.result['versioning'] and any(b'<item' in c.items for c in gen.conns):
            raise Fail('a roster that has not changed was sent again')
        size += sum(len(c.items) for c in gen.conns)
        _log_out(gen)
    gen.check_server()
    count = gen.options.users * LOGINS
    gen.result.update({
        'n': count,
        'login_per_s': round(count / wall, 1),
        'server_cpu_s': round(cpu, 3),
        'server_cpu_ms_per_login': round(cpu / count * 1e3, 3),
        'roster_answer_bytes': round(size / count),
        'auth': gen.mech,
        'iterations': gen.iterations,
    })


def version_of(answer):
    """The roster's version in the answer to a request for it; b'' for none."""
    found = re.search(rb"<query[^>]*\sver=['\"]([^'\"]*)", answer)
    return found.group(1) if found else b''


def _fill_rosters(gen):
    """Add what is missing; the users log in anew then."""
    change = (
        b"<iq type='set' id='rs%d'><query xmlns='jabber:iq:roster'><item jid='contact%d@%s' name='Contact %d'/>"
        b'</query></iq>'
    )
    domain = b'elsewhere.' + gen.options.domain.encode()
    lacking = [c for c in gen.conns if c.items.count(b'<item') < CONTACTS]
    for first in range(0, CONTACTS, AT_A_TIME):
        numbers = range(first, first + AT_A_TIME)
        block = b''.join(change % (n, n, domain, n) for n in numbers)
        for k in range(0, len(lacking), 20):
            ask(gen, dict.fromkeys(lacking[k : k + 20], block), b'rs%d' % numbers[-1])
    if lacking:
        _log_out(gen)
        gen.login_all(gen.options.users)
    for c in gen.conns:
        if c.items.count(b'<item') != CONTACTS:
            raise Fail(f'{c.user}: {c.items.count(b"<item")} contacts')


def _log_out(gen):
    gen.drain(0.3)
    gen.close_all()
    gen.by_fd.clear()
    gen.conns = []
    time.sleep(0.3)


# ---- inactive clients

def run_inactive(gen):
    """Presence, and then chat states, for clients that nobody looks at: both can wait, or need not come at all.

    When the clients are active again, each must get the last presence.  That is a part of what is measured."""
    options = gen.options
    gen.need_roster = True
    options.concurrency = 20
    gen.login_all(options.users)
    if not gen.offers_client_state:
        raise Fail('no XEP-0352')
    sender, contacts = gen.conns[0], gen.conns[1:]
    gen.subscribe(sender, contacts)
    gen.drain(0.7)
    came = {'presences': 0, 'states': 0}

    def take(c, data):
        if c is sender:
            return
        data = c.tail + data
        end = data.rfind(b'>') + 1
        c.tail = data[end:]
        whole = data[:end]
        came['states'] += whole.count(b'<composing')
        for number in STATUS.findall(whole):
            if int(number) < c.rcvd:
                raise Fail(f'{c.user}: presence {number} after {c.rcvd - 1}')
            c.rcvd = int(number) + 1
            came['presences'] += 1
        if b"type='error'" in whole or b'type="error"' in whole:
            raise Fail(f'{c.user}: error stanza: {whole[-500:]!r}')

    def all_say(state):
        for c in contacts:
            c.tail = b''
            c.send(state)

    def flips(count):
        for first in range(0, count, AT_A_TIME):
            block = b''
            for number in range(sender.sent, sender.sent + AT_A_TIME):
                show = b'away' if number & 1 else b'dnd'
                block += b'<presence><show>%s</show><status>#%08d</status></presence>' % (show, number)
            sender.sent += AT_A_TIME
            ask(gen, {sender: block + ping(gen)}, b'in1', take)
        all_say(ACTIVE)
        read(gen, take, lambda: all(c.rcvd == sender.sent for c in contacts), 'the last presence')

    def states(count):
        blocks = [
            b''.join(COMPOSING % c.jid.encode() for c in contacts[k : k + STATES])
            for k in range(0, len(contacts), STATES)
        ]
        for number in range(0, count // STATES):
            ask(gen, {sender: blocks[number % len(blocks)] + ping(gen)}, b'in1', take)
        all_say(ACTIVE)
        ask(gen, dict.fromkeys(contacts, ping(gen)), b'in1', take)

    def phase(work, count, what, each):
        all_say(INACTIVE)
        gen.drain(0.5, keep=take)
        work(max(each, count // 10))  # warms up
        all_say(INACTIVE)
        gen.drain(0.5, keep=take)
        gen.begin()
        work(count)
        gen.end(count * (len(contacts) if work is flips else 1), what)
        gen.drain(0.5, keep=take)

    for c in gen.conns:
        c.sent = c.rcvd = 0
        c.tail = b''
    phase(flips, options.messages, 'presence', AT_A_TIME)
    phase(states, options.messages * 50, 'state', STATES)
    gen.result.update({'contacts': len(contacts), 'flips': options.messages, **{f'{k}_sent': v for k, v in came.items()}})
