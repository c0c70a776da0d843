#!/usr/bin/env python3
"""As run.py, for logins to servers that have seen each user log in before: 500 unmeasured ones, then 500 measured.

    python benchmarks/warm_logins.py --rounds 3 --peers prosody-tuned,ejabberd,jabberd2
"""

from __future__ import annotations

import os
import sys
from typing import Any

from run import HERE, environment, prepare, work_folder


def main() -> int:
    """Exit status 1 when a run failed."""
    os.environ.update(environment())
    servers = prepare(work_folder(), dict(os.environ))
    sys.path.insert(0, str(HERE / 'yardstick'))
    import compare

    class Warm(compare.Comparison):  # type: ignore[misc, name-defined]
        def run_scenario(self, server: Any, scenario: Any, number: int) -> None:
            self.loadgen(server, ['login', '--users', '500', '--settle', '1', '--auth', 'scram'])
            super().run_scenario(server, scenario, number)

    compare.Comparison = Warm
    sys.argv[1:1] = ['--servers', str(servers), '--scenarios', 'login']
    status: int = compare.main()
    return status


if __name__ == '__main__':
    sys.exit(main())
