"""A model served on this machine, through the OpenAI client."""

import json
import math
import os
import subprocess
import time
import unittest

import openai

from harness import BERTH, Place, alive, model, port_is_free, wait_for

HELLO = [{"role": "user", "content": "Say hello in one sentence."}]
LONG = [{"role": "user", "content": "Tell a very long story."}]


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.addClassCleanup(cls.place.close)
        cls.place.up()
        cls.first = cls.place.cli("run", model(), "Say hello in one sentence.", "--name", "smollm2")
        cls.place.cli("run", model(), "--name", "embedder", "--task", "embed", "--context", "1024")
        cls.client = cls.place.client()

    def test_run_prints_an_answer(self):
        self.assertGreater(len(self.first.out.strip()), 5)
        self.assertIn("deployment smollm2 created", self.first.err)

    def test_models_lists_both(self):
        models = {m.id: m for m in self.client.models.list()}
        self.assertEqual(set(models), {"smollm2", "embedder"})
        self.assertEqual(models["smollm2"].object, "model")

    def test_chat(self):
        answer = self.client.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=16)
        self.assertTrue(answer.choices[0].message.content.strip())
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIn(answer.usage.completion_tokens, range(1, 17))
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_stream_comes_in_pieces(self):
        stream = self.client.chat.completions.create(
            model="smollm2", messages=LONG, max_tokens=100, stream=True, extra_body={"ignore_eos": True}
        )
        begun, times, text = time.monotonic(), [], ""
        for chunk in stream:
            self.assertIsNone(chunk.usage)
            if chunk.choices and chunk.choices[0].delta.content:
                times.append(time.monotonic() - begun)
                text += chunk.choices[0].delta.content
        self.assertGreater(len(times), 50)
        self.assertGreater(len(text), 100)
        # Nothing holds pieces back: the first comes long before the last.
        self.assertLess(times[0], times[-1] * 0.5)

    def test_stream_with_usage(self):
        stream = self.client.chat.completions.create(
            model="smollm2", messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
        usages = [chunk.usage for chunk in stream if chunk.usage]
        self.assertEqual(len(usages), 1)
        self.assertIn(usages[0].completion_tokens, range(1, 9))

    def test_completions(self):
        answer = self.client.completions.create(model="smollm2", prompt="The sea is", max_tokens=8)
        self.assertTrue(answer.choices[0].text)
        self.assertIn(answer.usage.completion_tokens, range(1, 9))

    def test_embeddings(self):
        texts = ["a cat", "a kitten", "tax law"]
        answer = self.client.embeddings.create(model="embedder", input=texts, encoding_format="float")
        vectors = [row.embedding for row in answer.data]
        self.assertEqual([len(v) for v in vectors], [576] * 3)
        norms = [math.sqrt(sum(x * x for x in v)) for v in vectors]
        near, far = (sum(a * b for a, b in zip(vectors[0], vectors[i])) / norms[0] / norms[i] for i in (1, 2))
        self.assertGreater(near, far)
        self.assertGreater(answer.usage.prompt_tokens, 0)

    def test_embeddings_of_a_text_up_to_the_context_and_beyond(self):
        answer = self.client.embeddings.create(model="embedder", input="sea " * 800, encoding_format="float")
        self.assertGreater(answer.usage.prompt_tokens, 512)
        self.assertEqual(len(answer.data[0].embedding), 576)
        with self.assertRaises(openai.BadRequestError) as refused:
            self.client.embeddings.create(model="embedder", input="sea " * 3000, encoding_format="float")
        self.assertEqual(refused.exception.code, "context_length_exceeded")

    def test_a_client_that_leaves_stops_the_engine(self):
        instance = self.place.instance("smollm2")

        def busy():
            return [slot for slot in self.place.engine(instance, "/slots") if slot["is_processing"]]

        wait_for("an idle engine", lambda: not busy(), 30)
        stream = self.client.chat.completions.create(
            model="smollm2", messages=LONG, max_tokens=7000, stream=True, extra_body={"ignore_eos": True}
        )
        for _, _ in zip(range(3), stream):
            pass
        self.assertEqual(len(busy()), 1)
        begun = time.monotonic()
        stream.close()
        # 7,000 tokens would take this machine far longer.
        wait_for("the engine stops", lambda: not busy(), 3)
        self.assertLess(time.monotonic() - begun, 3)

    def test_unknown_model(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="gpt-7", messages=HELLO)
        self.assertEqual(caught.exception.body["code"], "model_not_found")
        self.assertIn("gpt-7", caught.exception.body["message"])
        self.assertTrue(caught.exception.body["type"])

    def test_wrong_key(self):
        with self.assertRaises(openai.AuthenticationError) as caught:
            self.place.client("bk_wrong").chat.completions.create(model="smollm2", messages=HELLO)
        self.assertEqual(caught.exception.body["code"], "invalid_api_key")

    def test_key_without_the_scope(self):
        key = self.place.new_key("joiner", "join")
        with self.assertRaises(openai.PermissionDeniedError):
            self.place.client(key).chat.completions.create(model="smollm2", messages=HELLO)

    def test_bodies_that_are_no_json(self):
        for raw in (b'{"model": "smollm2", "messages": [', b'{"model": "smollm2", "model": "x"}', b"\xff\xfe", b"[]"):
            status, body = self.place.call("POST", "/v1/chat/completions", raw=raw)
            self.assertEqual(status, 400, body)
            self.assertEqual(body["error"]["type"], "invalid_request_error", raw)
            self.assertTrue(body["error"]["message"])

    def test_the_engines_own_refusal_passes_through(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="smollm2", messages=[{"role": "user"}])
        self.assertTrue(caught.exception.body["message"])

    def test_tokens_are_counted_per_key_and_model(self):
        key = self.place.new_key("counted", "inference")
        key_id = {k["name"]: k["id"] for k in self.place.get("/api/v1/keys")["items"]}["counted"]
        client = self.place.client(key)
        prompt = completion = 0
        answer = client.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=7)
        prompt, completion = answer.usage.prompt_tokens, answer.usage.completion_tokens
        # A stream whose client did not ask for usage counts too.
        for _ in client.chat.completions.create(
            model="smollm2", messages=HELLO, max_tokens=9, stream=True, extra_body={"ignore_eos": True}
        ):
            pass
        client.embeddings.create(model="embedder", input="a cat")

        def rows():
            found = {r["model"]: r for r in self.place.get("/api/v1/usage")["items"] if r["key_id"] == key_id}
            return found if len(found) == 2 and found["smollm2"]["requests"] == 2 else None

        found = wait_for("usage is written", rows, 15)
        self.assertEqual(found["smollm2"]["completion_tokens"], completion + 9)
        self.assertEqual(found["smollm2"]["prompt_tokens"], 2 * prompt)
        self.assertEqual(found["embedder"]["requests"], 1)
        self.assertGreater(found["embedder"]["prompt_tokens"], 0)

    def test_logs_follow(self):
        with open(self.place.path("follow"), "wb") as out:
            follower = subprocess.Popen([BERTH, "logs", "-f", "smollm2"], env=self.place.env, stdout=out, stderr=out)
        try:
            size = lambda: os.path.getsize(self.place.path("follow"))
            before = wait_for("the log so far", size, 15)
            self.client.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=4)
            wait_for("what the engine wrote since", lambda: size() > before, 15)
            self.assertIsNone(follower.poll())
        finally:
            follower.terminate()
            follower.wait(10)

    def test_objects_are_listed_and_described(self):
        rows = json.loads(self.place.cli("get", "instances", "-o", "json").out)["items"]
        self.assertEqual({r["status"]["state"] for r in rows}, {"ready"})
        self.assertEqual(len(rows), 2)
        self.assertIn("box", self.place.cli("get", "workers").out)
        self.assertIn("llama.cpp", self.place.cli("describe", "deployment", "smollm2").out)
        decision = self.place.get("/api/v1/deployments/smollm2/decision")["decision"]
        self.assertEqual(decision["verdict"], "fits")
        self.assertEqual(decision["fit_count"], 1)

    def test_engines_run_as_their_own_user(self):
        pid = self.place.instance("smollm2")["status"]["pid"]
        self.assertNotEqual(os.stat(f"/proc/{pid}").st_uid, 0)

    def test_evaluation_in_gpustacks_shape(self):
        spec = {"source": "local_path", "local_path": model(), "name": "x"}
        asked = {"model_specs": [spec, spec | {"replicas": 900}]}
        status, body = self.place.call("POST", "/v1/model-evaluations", asked)
        self.assertEqual(status, 200, body)
        fits, too_many = body["results"]
        self.assertTrue(fits["compatible"], fits)
        self.assertFalse(fits["error"], fits)
        self.assertFalse(too_many["compatible"], too_many)
        self.assertTrue(too_many["scheduling_messages"] or too_many["compatibility_messages"], too_many)

    def test_check_asks_the_running_server(self):
        done = self.place.cli("check", model())
        self.assertIn("box", done.out)


class Delete(unittest.TestCase):
    def test_everything_is_freed(self):
        place = Place()
        self.addCleanup(place.close)
        up = place.up()
        memory = lambda: place.get("/api/v1/workers/box")["status"]["capacity"]["memory"]["claimed"]
        self.assertEqual(memory(), 0)
        place.cli("run", model(), "--name", "smollm2")
        instance = place.instance("smollm2")
        pid, port = instance["status"]["pid"], instance["status"]["port"]
        self.assertTrue(alive(pid))
        self.assertGreater(memory(), 50 * 1024 * 1024)
        place.cli("delete", "deployment", "smollm2", "--wait")
        self.assertFalse(alive(pid))
        self.assertTrue(port_is_free(port))
        self.assertEqual(place.instances("smollm2"), [])
        self.assertEqual(memory(), 0)
        self.assertEqual([m.id for m in place.client().models.list()], [])
        self.assertEqual(os.listdir(place.path("worker/secrets")), [])
        place.cli("get", "deployments", "smollm2", code=3)
        self.assertEqual(place.stop(up), 0)
