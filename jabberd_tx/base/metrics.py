"""Counters that cost an addition on the stanza path; collected when somebody asks.

    counts = Counters('jabberd_c2s_stanzas', 'Stanzas from clients.', 'kind', ('message', 'presence', 'iq'))
    counts.message += 1                      # one attribute, no call

    metrics.gauge('jabberd_c2s_streams', 'Client streams.', lambda: len(self.streams))
    login = metrics.histogram('jabberd_c2s_login_seconds', 'TCP accept to bound resource.')
    login.observe(0.02)
"""
