#!/usr/bin/env python3
"""Runs the end-to-end tests: the real program, real engines, a real model, the OpenAI client. Needs tools/deps.

    .venv/bin/python tests/e2e/run.py [--berth PROGRAM] [NAME...]     NAME as unittest takes it: test_serve.Serve

Ends in "N passed, N failed"; exit 1 when one failed.
"""

import argparse
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


SLOWEST_SHOWN = 8


class Timed(unittest.TextTestResult):
    """Notes how long each test and each class's set-up took."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seconds = []
        self.began = self.ended = time.monotonic()

    def startTest(self, test):
        self.began = time.monotonic()
        if self.began - self.ended > 1:
            self.seconds.append((self.began - self.ended, f"between tests, before {test.id()}"))
        super().startTest(test)

    def stopTest(self, test):
        self.ended = time.monotonic()
        self.seconds.append((self.ended - self.began, test.id()))
        super().stopTest(test)


def main():
    parser = argparse.ArgumentParser(description="end-to-end tests")
    parser.add_argument("--berth", help="the program, instead of build/release/berth")
    parser.add_argument("names", nargs="*", help="modules, classes or tests instead of all")
    args = parser.parse_args()
    if args.berth:
        os.environ["BERTH_E2E_PROGRAM"] = os.environ["BERTH_BINARY"] = os.path.abspath(args.berth)
    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(args.names) if args.names else loader.discover(HERE, "test_*.py")
    result = unittest.TextTestRunner(verbosity=2, resultclass=Timed).run(suite)
    print("slowest:")
    for seconds, what in sorted(result.seconds, reverse=True)[:SLOWEST_SHOWN]:
        print(f"  {seconds:5.1f} s  {what}")
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    passed = max(0, result.testsRun - failed)
    sys.stderr.flush()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not result.testsRun else 0)


main()
