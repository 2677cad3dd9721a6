#!/usr/bin/env python3
"""Runs the end-to-end tests: the real program, real engines, a real model, the OpenAI client. Needs tools/deps.

    .venv/bin/python tests/e2e/run.py [--berth PROGRAM] [NAME...]     NAME as unittest takes it: test_serve.Serve

Ends in "N passed, N failed, N skipped"; exit 1 when one failed. A skipped test did not pass: each is shown with its
reason, and as root none may be skipped: that is a failure.
"""

import argparse
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


SLOWEST_SHOWN = 8
# Reasons to skip that are fair. ./test runs as root with every package that it needs: there, a test that finds
# something missing has found a fault, and none may be skipped.
MAY_SKIP = () if os.geteuid() == 0 else ("network namespaces need root",)


class Timed(unittest.TextTestResult):
    """Notes how long each test and each class's set-up took."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seconds = []
        self.passed = 0
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

    def addSuccess(self, test):
        self.passed += 1
        super().addSuccess(test)

    def counts(self):
        """Passed, failed, skipped. A test whose set-up failed counts as one that failed, whatever it holds."""
        refused = [(test, why) for test, why in self.skipped if why not in MAY_SKIP]
        for test, why in self.skipped:
            word = "SKIPPED" if why in MAY_SKIP else "FAIL: skipped, which it may not be"
            print(f"{word}: {test.id()}: {why}")
        failed = len(self.failures) + len(self.errors) + len(self.unexpectedSuccesses) + len(refused)
        return self.passed + len(self.expectedFailures), failed, len(self.skipped) - len(refused)


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
    sys.stderr.flush()
    passed, failed, skipped = result.counts()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not passed else 0)


main()
