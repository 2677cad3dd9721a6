"""How much memory the two processes keep after people logged in and a model answered."""

import re
import unittest

from harness import Place, model

MB = 1000 * 1000
SERVER_MAX = 60 * MB
WORKER_MAX = 30 * MB
LOGINS = 3  # each needs 19 MiB for a moment
CHATS = 20
HELLO = [{"role": "user", "content": "Say hello in one sentence."}]


def resident(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))


class Memory(unittest.TestCase):
    def test_server_and_worker_stay_small_after_a_login_and_a_chat(self):
        place = Place()
        self.addCleanup(place.close)
        server = place.server()
        worker = place.worker("box")
        password = re.search(r"admin password\s+(\S+)", place.log("server")).group(1)
        for _ in range(LOGINS):
            status, answer = place.call("POST", "/api/v1/login", {"password": password})
            self.assertIn(status, (200, 201), answer)
        place.cli("run", model(), "--name", "smollm2")
        client = place.client(answer["key"])
        for _ in range(CHATS):
            said = client.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=4)
            self.assertTrue(said.choices[0].message.content)
        self.assertEqual({"smollm2"}, {m.id for m in client.models.list()})
        self.assertEqual(place.worker_state("box"), "ready")
        # The two are apart: neither number holds what the other needs.
        self.assertNotEqual(server.pid, worker.pid)
        sizes = resident(server), resident(worker)
        print(f"server {sizes[0] / MB:.1f} MB, worker {sizes[1] / MB:.1f} MB")
        self.assertLessEqual(sizes[0], SERVER_MAX)
        self.assertLessEqual(sizes[1], WORKER_MAX)
