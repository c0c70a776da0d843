"""Acceptance scripts: short conversations that are read as they are played.

    # What a message to somebody who is not there does.

    juliet/balcony comes online
    juliet/balcony sends
        <message to='$romeo' type='chat' id='1'><body>Are you there?</body></message>
    romeo/garden comes online
    romeo/garden receives
        <message from='$juliet/balcony' type='chat' id='1'>
          <body>Are you there?</body>
          <delay xmlns='urn:xmpp:delay' stamp='...'/>
        </message>

docs/acceptance.md tells the language.  `script.read` reads a file, `player.Player` plays it against a server.
"""
