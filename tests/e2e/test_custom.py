"""A program of the deployment's own, served like any other engine; nobody but an operator may have one run."""

import os
import sys
import unittest

from harness import Place, alive, model, wait_for

# Answers the smallest part of the OpenAI API, and only to who knows the key that berth gave it.
PROGRAM = '''
import http.server, json, os, sys
KEY = "Bearer " + os.environ["BERTH_ENGINE_KEY"]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = self.headers["Authorization"] == KEY
        text = "own: " + str(sys.argv[2:]) if good else "who are you?"
        choice = {"index": 0, "finish_reason": "stop", "text": text, "message": {"role": "assistant", "content": text}}
        kind = "chat.completion" if "messages" in asked else "text_completion"
        body = json.dumps({"id": "1", "object": kind, "created": 1, "model": asked["model"], "choices": [choice],
                           "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
'''


class Custom(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.addClassCleanup(cls.place.close)
        cls.place.up()
        cls.script = cls.place.path("own.py")
        with open(cls.script, "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        os.chmod(cls.script, 0o644)

    def body(self, name, **settings):
        python = os.path.realpath("/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable)
        settings = {
            "command": [python, "-I", self.script, "{port}", "{alias}", "a b; $(id)"],
            "needs": {"devices": 0, "memory_bytes": 64 << 20},
        } | settings
        request = {
            "source": {"kind": "local", "path": model()},
            "restriction": {"engine": "custom"},
            "settings": settings,
        }
        return {"name": name, "spec": {"request": request}}

    def test_its_answers_go_through_the_gateway_and_it_ends_with_its_deployment(self):
        status, made = self.place.call("POST", "/api/v1/deployments", self.body("own"))
        self.assertEqual(status, 201, made)
        wait_for("own ready", lambda: [i for i in self.place.instances("own") if i["status"]["state"] == "ready"])
        instance = self.place.instance("own")
        answer = self.place.client().chat.completions.create(model="own", messages=[{"role": "user", "content": "hi"}])
        # Its words reach it as they are: no shell has seen them.
        self.assertEqual(answer.choices[0].message.content, "own: ['own', 'a b; $(id)']")
        self.assertEqual(answer.usage.total_tokens, 7)
        plan = instance["spec"]["plan"]
        self.assertEqual(plan["layout"], "declared")
        self.assertEqual(plan["workers"][0]["claim"]["memory_bytes"], 64 << 20)
        pid = instance["status"]["pid"]
        self.place.cli("delete", "deployment", "own", "--wait")
        wait_for("its end", lambda: not alive(pid))

    def test_only_an_operator_may_have_one_run(self):
        manager = self.place.new_key("manager", "management")
        status, answer = self.place.call("POST", "/api/v1/deployments", self.body("theirs"), key=manager)
        self.assertEqual(status, 403, answer)
        self.assertIn("settings.command runs a program of the deployment's own on a worker", answer["detail"])

    def test_an_image_is_refused_where_nothing_starts_containers(self):
        status, answer = self.place.call("POST", "/api/v1/deployments", self.body("boxed", image="example/serve:1"))
        self.assertEqual(status, 201, answer)
        wait_for("a decision", lambda: self.place.get("/api/v1/deployments/boxed")["status"].get("summary"))
        self.assertEqual(self.place.instances("boxed"), [])
        self.assertIn("container", self.place.get("/api/v1/deployments/boxed")["status"]["summary"])


if __name__ == "__main__":
    unittest.main()
