"""What is asked while the database cannot be written: nobody waits for it but who changes something."""

import os
import sqlite3
import threading
import time
import unittest

from harness import SEED, Place, model, wait_for

LOCKED_SECONDS = 4
ENDED_WITHIN = 40
ANSWERED_WITHIN = 1.5  # far below the time of the lock, far above what a busy machine adds


class BusyStore(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.place.server()
        self.place.worker("mac", "--profile", os.path.join(SEED, "mac-studio-m2-ultra.yaml"))

    def slowest_while(self, locked):
        """Seconds of the slowest answer to each question, asked again and again until `locked` is over."""
        request = {"source": {"kind": "local", "path": model()}}
        evaluation = {"model_specs": [{"source": "local_path", "local_path": model()}]}
        questions = [
            ("GET", "/healthz", None, 200),
            ("GET", "/api/v1/workers", None, 200),
            ("GET", "/v1/models", None, 200),
            ("POST", "/v1/chat/completions", {"model": "nobody", "messages": []}, 404),
            ("POST", "/api/v1/decisions", request, 200),
            ("POST", "/api/v1/deployments?dry_run=true", {"name": "dry", "spec": {"request": request}}, 200),
            ("POST", "/v1/model-evaluations", evaluation, 200),
        ]
        slowest = {path: 0.0 for _, path, _, _ in questions}
        while not locked.wait(0.05):
            for method, path, body, wanted in questions:
                begun = time.monotonic()
                status, answer = self.place.call(method, path, body)
                slowest[path] = max(slowest[path], time.monotonic() - begun)
                self.assertEqual(status, wanted, answer)
        return slowest

    def test_questions_are_answered_while_changes_wait(self):
        database = sqlite3.connect(self.place.path("server", "berth.db"), isolation_level=None)
        self.addCleanup(database.close)
        made = []
        request = {"source": {"kind": "local", "path": model()}}

        def change():
            while not made or made[-1][0] == 503:
                body = {"name": "late", "spec": {"request": request}}
                made.append(self.place.call("POST", "/api/v1/deployments", body))

        database.execute("BEGIN IMMEDIATE")
        over = threading.Event()
        threading.Timer(LOCKED_SECONDS, over.set).start()
        changer = threading.Thread(target=change)
        changer.start()
        try:
            slowest = self.slowest_while(over)
        finally:
            database.execute("ROLLBACK")
            changer.join()
        for path, seconds in slowest.items():
            self.assertLess(seconds, ANSWERED_WITHIN, path)
        self.assertEqual(made[-1][0], 201, made)
        for status, answer in made[:-1]:
            self.assertIn("locked by another program", answer["detail"], status)
        self.assertEqual(self.place.worker_state("mac"), "ready")
        wait_for("the instance", lambda: len(self.place.instances("late")) == 1)

    def test_a_server_told_to_stop_ends_in_order_while_changes_wait(self):
        database = sqlite3.connect(self.place.path("server", "berth.db"), isolation_level=None)
        self.addCleanup(database.close)
        server = self.place.processes[0]

        def change():
            body = {"name": "late", "spec": {"request": {"source": {"kind": "local", "path": model()}}}}
            try:
                self.place.call("POST", "/api/v1/deployments", body)
            except OSError:
                pass  # the server went away

        database.execute("BEGIN IMMEDIATE")
        changer = threading.Thread(target=change)
        changer.start()
        try:
            time.sleep(0.5)  # the change waits for the lock now
            server.terminate()
            self.assertEqual(server.wait(ENDED_WITHIN), 0, self.place.log("server"))
        finally:
            database.execute("ROLLBACK")
            changer.join()
        database.execute("BEGIN IMMEDIATE")  # nobody holds it
        database.execute("ROLLBACK")


if __name__ == "__main__":
    unittest.main()
