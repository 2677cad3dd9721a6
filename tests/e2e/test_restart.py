"""Engines outlive berth and are adopted; an engine that dies is started again."""

import os
import signal
import unittest

from harness import Place, alive, model, wait_for

HELLO = [{"role": "user", "content": "Say hello in one sentence."}]


class Restart(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.close)
        self.up = self.place.up()
        self.place.cli("run", model(), "--name", "smollm2")
        self.pid = self.place.instance("smollm2")["status"]["pid"]

    def chat(self):
        answer = self.place.client().chat.completions.create(model="smollm2", messages=HELLO, max_tokens=8)
        self.assertTrue(answer.choices[0].message.content.strip())

    def used(self):
        rows = self.place.get("/api/v1/usage")["items"]
        return sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)

    def ready(self, **wanted):
        """The instance once it is ready with a process that may be named or excluded."""

        def look():
            status = self.place.instance("smollm2")["status"]
            if status["state"] != "ready" or status["pid"] == wanted.get("not_pid"):
                return None
            return status

        return wait_for("a ready instance", look)

    def test_an_engine_survives_its_agent_and_is_adopted(self):
        self.chat()
        counted = wait_for("usage is written", self.used, 15)
        self.chat()
        self.assertEqual(self.place.stop(self.up), 0)
        self.assertTrue(alive(self.pid))
        self.place.up()
        status = self.ready()
        self.assertEqual(status["pid"], self.pid)
        self.assertEqual(status["restarts"], 0)
        self.assertGreater(self.used(), counted)  # what was counted last is written as it stops
        self.chat()
        # The log goes on, and so does the end of an adopted engine.
        self.assertTrue(self.place.cli("logs", "smollm2").out)
        self.place.cli("delete", "deployment", "smollm2", "--wait")
        self.assertFalse(alive(self.pid))

    def test_an_engine_survives_the_sudden_death_of_its_agent(self):
        self.chat()
        counted = wait_for("usage is written", self.used, 15)
        self.up.kill()
        self.up.wait()
        self.assertTrue(alive(self.pid))
        self.place.up()
        self.assertEqual(self.ready()["pid"], self.pid)
        self.assertGreaterEqual(self.used(), counted)
        self.chat()

    def test_a_killed_engine_is_started_again(self):
        os.kill(self.pid, signal.SIGKILL)
        status = self.ready(not_pid=self.pid)
        self.assertGreaterEqual(status["restarts"], 1)
        self.assertEqual(status["last_exit"]["signal"], signal.SIGKILL)
        self.chat()

    def test_an_engine_that_died_while_nobody_looked_is_started_again(self):
        self.assertEqual(self.place.stop(self.up), 0)
        os.kill(self.pid, signal.SIGKILL)
        self.place.up()
        self.ready(not_pid=self.pid)
        self.chat()
