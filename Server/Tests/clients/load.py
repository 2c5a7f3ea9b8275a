"""200 requests on 16 connections, one in five of them broken in one of ten ways: no crash, no growing memory, every good
answer that of the command."""

import collections
import http.client
import json
import queue
import socket
import threading
import time

from server import Server, by_command, question, references

MODEL = "vqa-tiles"
REQUESTS, CONNECTIONS = 200, 16
METHODS = [None, {"method": "dense"}, {"method": "fastv", "keep_ratio": 0.5}]
FLAGS = ["--method", "divprune", "--keep-ratio", 0.25]
LIMIT = 2_000_000


def body(image, text, vtok=None, **more):
    members = {"model": MODEL, "messages": question(text, image), **more}
    return json.dumps({**members, "vtok": vtok} if vtok else members).encode()


class Connection:
    """Kept open from request to request, as clients do; a broken one is opened again."""

    def __init__(self, server):
        self.server = server
        self.http = None

    def post(self, data, kind="application/json"):
        fresh = self.http is None
        self.http = self.http or http.client.HTTPConnection(self.server.host, self.server.port, timeout=120)
        try:
            self.http.request("POST", "/v1/chat/completions", data, {"Content-Type": kind})
            reply = self.http.getresponse()
            return reply.status, reply.read()
        except (http.client.HTTPException, ConnectionError):
            # A server may close a connection that it has answered an error on.
            self.close()
            if fresh:
                raise
            return self.post(data, kind)

    def close(self):
        if self.http:
            self.http.close()
        self.http = None

    def raw(self, data, reads=True):
        """Bytes as they are, on a connection of their own."""
        with socket.create_connection((self.server.host, self.server.port), timeout=30) as line:
            line.sendall(data)
            return line.recv(4096) if reads else b""

    def head(self, length):
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()


def broken(way, connection, image, text):
    """One request of a kind that no server should suffer from; fails if it does not get what it deserves."""
    good = body(image, text)

    def refused(status, data, kind="application/json"):
        found, reply = connection.post(data, kind)
        assert found == status, (way, found, reply[:300])
        assert json.loads(reply)["error"]["message"], reply

    match way:
        case 0: refused(400, good[: len(good) // 2])  # JSON that ends too soon
        case 1: refused(413, good + b" " * LIMIT)  # too long
        case 2: connection.raw(connection.head(len(good)) + good[: len(good) // 2], reads=False)  # leaves while it sends
        case 3: refused(400, body(image[: len(image) // 2], text))  # a cut image
        case 4: refused(404, good.replace(MODEL.encode(), b"other"))
        case 5: refused(415, good, "text/plain")
        case 6: connection.raw(connection.head(len(good)) + good, reads=False)  # leaves before the answer
        case 7: refused(400, body(image, text, {"method": "fastv:k=99", "keep_ratio": 0.5}))
        case 8: assert b"400" in connection.raw(b"\x16\x03\x01\x02\x00 no HTTP\r\n\r\n\r\n")[:40]
        case 9:  # leaves in the middle of a stream
            data = body(image, text, stream=True)
            connection.raw(connection.head(len(data)) + data)


def round_of_requests(server, expected, asked):
    """Sends all; the number of good answers, by what they were."""
    work = queue.Queue()
    for number in range(REQUESTS):
        work.put(number)
    failures, seen = [], collections.Counter()

    def run():
        connection = Connection(server)
        while True:
            try:
                number = work.get_nowait()
            except queue.Empty:
                return connection.close()
            image, text = asked[number % len(asked)]
            try:
                if number % 5 == 4:
                    broken(number // 5 % 10, connection, image, text)
                    seen["broken"] += 1
                    continue
                method = number % len(METHODS)
                status, reply = connection.post(body(image, text, METHODS[method]))
                assert status == 200, (status, reply[:300])
                answer = json.loads(reply)["choices"][0]["message"]["content"]
                wanted = expected[method][number % len(asked)]
                assert answer == wanted, (number, answer, wanted)
                seen["good"] += 1
            except Exception as error:
                failures.append((number, repr(error)))

    threads = [threading.Thread(target=run) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]
    assert seen["broken"] == REQUESTS // 5 and seen["good"] == REQUESTS - REQUESTS // 5, seen


def main():
    asked = [(image, text) for image, text, _ in references(MODEL)]
    asked += [(image, "how many circles are there?") for image, _ in asked]
    expected = [
        [row["answer"] for row in by_command(MODEL, asked, *flags)]
        for flags in [FLAGS, [], ["--method", "fastv", "--keep-ratio", 0.5]]
    ]
    with Server(MODEL, *FLAGS, "--max-body", LIMIT, "--queue", 64, "--cache-mb", 64) as server:
        memory = []
        start = time.time()
        for turn in range(4):
            round_of_requests(server, expected, asked)
            while server.metric("vtok_requests_inside") > 0:
                time.sleep(0.02)
            assert server.process.poll() is None, server.text()
            memory.append(server.memory())
            print(f"round {turn + 1}: {REQUESTS} requests, {memory[-1]:.0f} MB")
        seconds = (time.time() - start) / len(memory)
        assert "error" not in server.text(), server.text()
        assert server.metric("vtok_clients_left_total") > 0
        # The first rounds fill caches and the pools of threads.
        assert memory[3] <= 1.05 * memory[1], f"memory grows: {memory}"
        print(
            f"load: {CONNECTIONS} connections, {REQUESTS} requests in {seconds:.1f} s, one in five broken in ten ways; "
            f"{memory[1]:.0f} MB, two rounds later {memory[3]:.0f} MB")


if __name__ == "__main__":
    main()
