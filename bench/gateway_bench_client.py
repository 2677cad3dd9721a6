"""The load of the gateway bench: HTTP/1.1 clients on kept connections, in one thread, over epoll.

Every answer is compared with what the engine gave when it was asked directly: a proxy that drops, changes or truncates
something is not measured but fails.
"""

import json
import select
import socket
import time
from urllib.parse import urlsplit

READ_BYTES = 64 * 1024
SECONDS_MAX = 120  # one load
END_OF_STREAM = b"\r\n0\r\n\r\n"

SYSTEM = "You are a helpful assistant. Answer in at most three sentences, in the language of the question. "
QUESTION = "Why is the sea salt, and why are most lakes not? Compare the two and name one exception. "


def body(stream):
    """About 1 KB, as of a short conversation."""
    messages = [
        {"role": "system", "content": SYSTEM * 2},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Rivers carry dissolved minerals to the sea. " * 6},
        {"role": "user", "content": QUESTION * 2},
    ]
    asked = {"model": "bench", "messages": messages, "max_tokens": 256, "temperature": 0.7}
    return json.dumps(asked | ({"stream": True} if stream else {})).encode()


class Failed(Exception):
    pass


def dechunked(data):
    out, at = b"", 0
    while True:
        end = data.index(b"\r\n", at)
        size = int(data[at:end].split(b";")[0], 16)
        if size == 0:
            return out
        out += data[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


class Place:
    """Where requests go."""

    def __init__(self, url, key):
        parts = urlsplit(url)
        self.address, self.key = (parts.hostname, parts.port), key

    def request(self, stream):
        text = body(stream)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Type: application/json\r\nAccept: */*\r\n"
            f"User-Agent: gateway-bench\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        return head.encode() + text


class Result:
    def __init__(self):
        self.latencies = []  # seconds until the answer is whole
        self.reads = 0  # that brought data

    @property
    def p50_us(self):
        ordered = sorted(self.latencies)
        return ordered[len(ordered) // 2] * 1e6


class Connection:
    def __init__(self, load):
        self.load, self.socket, self.data, self.begun = load, None, bytearray(), 0.0

    def connect(self):
        self.socket = socket.create_connection(self.load.place.address, 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.load.epoll.register(self.socket, select.EPOLLIN)
        self.load.open[self.socket.fileno()] = self

    def ask(self):
        self.data.clear()
        self.begun = time.perf_counter()
        self.socket.sendall(self.load.request)

    def readable(self):
        """True when the answer is whole."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise Failed(f"closed after {bytes(self.data[-200:])!r}")
        self.load.result.reads += 1
        self.data += data
        head_end = self.data.find(b"\r\n\r\n")
        if head_end < 0:
            return False
        return self.whole(head_end + 4)

    def whole(self, body_at):
        head = bytes(self.data[:body_at]).lower()
        if not head.startswith(b"http/1.1 200"):
            raise Failed(f"answered {bytes(self.data[:400])!r}")
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            if not self.data.endswith(END_OF_STREAM):
                return False
            got = dechunked(bytes(self.data[body_at:]))
        else:
            length = int(head.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
            if len(self.data) < body_at + length:
                return False
            got = bytes(self.data[body_at:])
        self.load.result.latencies.append(time.perf_counter() - self.begun)
        self.load.compare(got)
        if b"\r\nconnection: close\r\n" in head:
            self.close()
            self.connect()
        return True

    def close(self):
        if self.socket:
            self.load.open.pop(self.socket.fileno(), None)
            self.socket.close()
            self.socket = None


class Load:
    """`count` requests over `connections`, each of which asks again as soon as it has its answer."""

    def __init__(self, place, stream, count, connections, expected=None):
        self.place, self.request, self.expected = place, place.request(stream), expected
        self.count, self.connections = count, connections
        self.epoll, self.open, self.result = select.epoll(), {}, Result()

    def compare(self, got):
        if self.expected is None:
            self.expected = got
        if got != self.expected:
            raise Failed(f"another answer than the engine's: {got[:300]!r} … {got[-300:]!r}")

    def run(self):
        clients = [Connection(self) for _ in range(min(self.connections, self.count))]
        try:
            for client in clients:
                client.connect()
            self.drive(clients)
        finally:
            for client in clients:
                client.close()
            self.epoll.close()
        return self.result

    def drive(self, clients):
        left, end = self.count, time.monotonic() + SECONDS_MAX
        for client in clients:
            client.ask()
            left -= 1
        busy = len(clients)
        while busy:
            ready = self.epoll.poll(1.0)
            if time.monotonic() > end:
                raise Failed(f"not done within {SECONDS_MAX} s: {left + busy} of {self.count} answers missing")
            for fd, _ in ready:
                client = self.open[fd]
                if not client.readable():
                    continue
                if left:
                    left -= 1
                    client.ask()
                else:
                    busy -= 1
