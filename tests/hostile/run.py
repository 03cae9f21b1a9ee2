"""Runs the hostile suites against a gateway and prints one JSON object: cases, failures and figures of each group.

    python run.py --gateway target/debug/bedrock-gateway --double target/debug/awsdouble [GROUP…]

Each group has a gateway of its own. Most of a group is waiting, so several run at the same time; `beside` measures, and
runs alone at the end. `--seconds` is the time of each of its attacks.
"""

import argparse
import concurrent.futures
import importlib
import json
import subprocess
import sys
import time

#: The longest ones first.
GROUPS = ["slow", "exhaustion", "tokens", "framing", "ssrf", "documents", "logs", "http2", "browsers", "amplification"]
ALONE = ["beside"]
AT_ONCE = 4


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS + ALONE))
    parser.add_argument("--gateway", required=True, help="the program bedrock-gateway")
    parser.add_argument("--double", required=True, help="the program awsdouble")
    parser.add_argument("--seconds", type=float, default=6, help="time of each attack beside a good client")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def one_here(name, chosen):
    """A group in this process."""
    started = time.monotonic()
    report = importlib.import_module(name).run(chosen).report()
    report["seconds"] = round(time.monotonic() - started, 1)
    return report


def one(name, chosen):
    """A group in a process of its own."""
    command = [sys.executable, __file__, "--here", "--gateway", chosen.gateway, "--double", chosen.double,
               "--seconds", str(chosen.seconds), name]
    ended = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(ended.stdout)
    except ValueError:
        report = {"group": name, "cases": 0, "failures": [f"the group ended: {ended.stderr[-3000:]}"], "figures": {}}
    print(f"{name}: {report['cases']} cases, {len(report['failures'])} failures, {report.get('seconds')} s",
          file=sys.stderr, flush=True)
    return report


def main():
    chosen = arguments()
    groups = chosen.groups or GROUPS + ALONE
    if chosen.here:
        print(json.dumps(one_here(groups[0], chosen)))
        return
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        reports = list(pool.map(lambda name: one(name, chosen), [name for name in groups if name not in ALONE]))
    reports += [one(name, chosen) for name in groups if name in ALONE]
    print(json.dumps({report["group"]: report for report in reports}, indent=1))


if __name__ == "__main__":
    main()
