#!/usr/bin/env python3
"""Measures two states of this project beside each other: which row has become dearer, and by how much?

    git worktree add ../before COMMIT
    python benchmarks/beside.py ../before                        this checkout beside that one, the whole first table
    python benchmarks/beside.py ../before --shapes one --scenarios chat,presence --rounds 5

Scenarios and load generator are those of this checkout (yardstick/), configuration and code those of each.  Both run
on this interpreter: once `make bench` has run, .venv/bin/python has what both need.  The two take turns: each scenario
runs on one right after the other, who comes first changes from round to round, and the last column is the median of
the rounds' own ratios.  Exit status 1 when a run failed, 2 when a row is more than 5 % dearer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from run import ACCOUNTS, HERE, environment, work_folder

sys.path.insert(0, str(HERE / 'yardstick'))

FIRST_TABLE = 'idle,idle-tls,login,chat,chat-tls,chat-acks,rate-1000,presence'
ALLOWED = 1.05
STARTS = {
    'one': 'exec twistd --nodaemon --pidfile= jabberd -c {config} --node bench',
    'apart': 'exec {tree}/benchmarks/apart.sh {config}',
}
CTL = 'import sys; from jabberd_tx.services.ctl import main; sys.exit(main())'


def prepare(tree: Path, work: Path) -> dict[str, str]:
    """Folder, certificate and accounts of one state; what its processes have in their environment."""
    work.mkdir(parents=True, exist_ok=True)
    own = {'BENCH_WORK': str(work), 'PYTHONPATH': str(tree)}
    shared = work.parent / 'tls'
    if not (work / 'tls').exists():
        (work / 'tls').symlink_to(shared)
    table = work / 'accounts.csv'
    table.write_text(''.join([f'user{n},bench.test,secret\n' for n in range(ACCOUNTS)]))
    command = [sys.executable, '-c', CTL, '-c', str(tree / 'etc/bench.toml'), 'user', 'import', str(table)]
    subprocess.run(command, env={**environment(), **own}, cwd=work, check=True, stdout=subprocess.DEVNULL)
    return own


def servers(shape: str, trees: dict[str, Path], own: dict[str, dict[str, str]]) -> list[Any]:
    """The same shape of both."""
    from servers import OwnServer

    return [
        OwnServer(
            f'{shape} {when}', STARTS[shape].format(tree=tree, config=tree / 'etc/bench.toml'), port=15222, muc='',
            cwd=str(own[when]['BENCH_WORK']), env=own[when],
        )
        for when, tree in trees.items()
    ]  # fmt: skip


def measure(pairs: list[list[Any]], options: Any) -> Any:
    """All runs, as yardstick/compare.py keeps them."""
    import compare
    import servers as known

    class InTurns(compare.Comparison):  # type: ignore[misc]
        def run(self) -> None:
            self.warm_scram_cache()
            for number in range(1, self.rounds + 1):
                for scenario in self.scenarios:
                    for pair in pairs:
                        for server in pair if number & 1 else pair[::-1]:
                            self.run_fresh(server, scenario, number)

    known.limit_open_files()
    names = options.scenarios.split(',')
    scenarios = [scenario for scenario in compare.SCENARIOS if scenario.name in names]
    everybody = [server for pair in pairs for server in pair]
    comparison = InTurns(everybody, scenarios, options.rounds, options.quick, options.seconds)
    comparison.settle_s = 1.0
    comparison.run()
    return comparison


def rows(comparison: Any, pairs: list[list[Any]]) -> list[tuple[str, str, str, float, int]]:
    """(what, before, after, the median of the rounds' ratios, digits) for each figure of which less is better."""
    import compare

    found = []
    for pair in pairs:
        for scenario in comparison.scenarios:
            for figure in compare.FIGURES[scenario.kind]:
                if isinstance(figure, compare.Latency) or figure.higher_is_better:
                    continue
                by_round: list[dict[int, float]] = [
                    {
                        run['round']: figure.value(run)
                        for run in comparison.runs
                        if run['ok'] and (run['server'], run['scenario']) == (server.name, scenario.name)
                    }
                    for server in pair
                ]
                both = [number for number in by_round[0] if number in by_round[1]]
                if not both or not all([by_round[0][number] for number in both]):
                    continue
                ratio = median([by_round[1][number] / by_round[0][number] for number in both])
                cells = [_cell(list(values.values()), figure.digits) for values in by_round]
                shape = pair[0].name.split()[0]
                found.append((f'{shape}: {scenario.title}: {figure.title}', cells[0], cells[1], ratio, len(both)))
    return found


def _cell(values: list[float], digits: int) -> str:
    return f'{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})'


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('before', type=Path, help='the checkout of the earlier state')
    parser.add_argument('--after', type=Path, default=HERE.parent, help='the later one (this checkout)')
    parser.add_argument('--shapes', default='one,apart', help='of: one, apart')
    parser.add_argument('--scenarios', default=FIRST_TABLE, help=f'(default: {FIRST_TABLE})')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, help='measured time of idle and the chats, in the place of 10 and 8')
    parser.add_argument('--quick', action='store_true', help='short runs: does it work?')
    parser.add_argument('--json', help='write all runs there')
    options = parser.parse_args()
    work = work_folder() / 'beside'
    work.mkdir(exist_ok=True)
    os.environ.update({**environment(), 'BENCH_WORK': str(work)})
    subprocess.run([HERE / 'yardstick/peers/certificate.sh'], check=True)
    trees = {'before': options.before.resolve(), 'after': options.after.resolve()}
    own = {when: prepare(tree, work / when) for when, tree in trees.items()}
    pairs = [servers(shape, trees, own) for shape in options.shapes.split(',')]
    comparison = measure(pairs, options)
    table = rows(comparison, pairs)
    print('| scenario | before | after | after / before |\n| --- | --- | --- | --- |')
    for what, before, after, ratio, _ in table:
        print(f'| {what} | {before} | {after} | {ratio:.3f}{" ✗" if ratio > ALLOWED else ""} |')
    for failure in comparison.failures:
        print(f'- failed: {failure}')
    if options.json:
        Path(options.json).write_text(json.dumps({'rows': table, 'runs': comparison.runs}, indent=1))
    if comparison.failures:
        return 1
    return 2 if any([ratio > ALLOWED for *_, ratio, _ in table]) else 0


if __name__ == '__main__':
    sys.exit(main())
