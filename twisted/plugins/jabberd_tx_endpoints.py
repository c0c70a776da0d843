"""Endpoint strings for `twistd` and `serverFromString`: `reuseport:`."""

from jabberd_tx.base.reuseport import ReusePortParser

reuseport = ReusePortParser()
