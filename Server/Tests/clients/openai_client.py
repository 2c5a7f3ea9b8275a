"""The official client against vtok-serve: every address, every kind of reply and of refusal."""

import http.server
import math
import signal
import threading
import time

import openai

from server import Server, by_command, file, question, references, url, ROOT


def client(server, key="none", **more):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0, timeout=120, **more)


def ask(api, model, messages, **more):
    reply = api.chat.completions.create(model=model, messages=messages, **more)
    return reply, reply.choices[0].message.content


def answers(model):
    """Without a method, with the server's, and with one of the request: what the command says."""
    asked = references(model)
    pairs = [(image, text) for image, text, _ in asked]
    with Server(model, "--method", "divprune", "--keep-ratio", 0.25) as server:
        api = client(server)
        assert [entry.id for entry in api.models.list()] == [model] == [api.models.retrieve(model).id]
        right = 0
        for flags, vtok in [
            ([], {"method": "dense"}), (["--method", "divprune", "--keep-ratio", 0.25], None),
            (["--method", "fastv", "--keep-ratio", 0.5], {"method": "fastv", "keep_ratio": 0.5}),
            (["--method", "visionzip", "--keep-tokens", 9], {"method": "visionzip", "keep_tokens": 9}),
        ]:
            rows = by_command(model, pairs, *flags)
            for (image, text, generated), row in zip(asked, rows):
                body = {"vtok": vtok} if vtok else {}
                reply, answer = ask(api, model, question(text, image), extra_body=body)
                assert answer == row["answer"], (flags, text, answer, row["answer"])
                assert reply.choices[0].finish_reason == row["finish"]
                assert reply.usage.prompt_tokens == row["tokens"]["prompt"]
                ledger = reply.usage.model_extra["vtok"]
                assert ledger["tokens"] == row["tokens"] and ledger["gmacs"] == row["gmacs"]
                assert ledger["kv_mb"] == row["kv_mb"] and ledger["method"] == row["method"]
                if not flags:
                    right += answer == generated
                # The same in pieces.
                stream = api.chat.completions.create(
                    model=model, messages=question(text, image), stream=True, stream_options={"include_usage": True},
                    extra_body=body)
                chunks = list(stream)
                assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer
                assert chunks[-1].usage.completion_tokens == reply.usage.completion_tokens
        assert right == len(asked), f"{model}: {right} of {len(asked)} answers are those of the trained model"
    print(f"{model}: {len(asked)} questions, 4 methods, streamed and whole, as the command answers")


def conversations():
    """System, turns and several images are in the prompt."""
    (image, text, _), (other, _, _) = references("vqa-small")[:2]
    with Server("vqa-small") as server:
        api = client(server)
        one, _ = ask(api, "vqa-small", question(text, image))
        two, _ = ask(api, "vqa-small", question(text, image, other))
        assert two.usage.model_extra["vtok"]["tokens"]["in"] == 2 * one.usage.model_extra["vtok"]["tokens"]["in"]
        system = [{"role": "system", "content": "Be brief."}]
        long, _ = ask(api, "vqa-small", system + question(text, image))
        assert long.usage.prompt_tokens > one.usage.prompt_tokens
        turns = question(text, image) + [one.choices[0].message.model_dump()] + question("what shape?")
        more, _ = ask(api, "vqa-small", turns)
        assert more.usage.prompt_tokens > one.usage.prompt_tokens
        cut, _ = ask(api, "vqa-small", question(text, image), max_tokens=1)
        assert cut.choices[0].finish_reason == "length" and cut.usage.completion_tokens == 1
    print("conversations: system, turns, several images")


def refusals():
    image, text, _ = references("vqa-small")[0]
    with Server("vqa-small", "--api-key", "secret", "--max-images", 2, "--max-body", 400_000) as server:
        api = client(server, key="secret")
        ask(api, "vqa-small", question(text, image))
        assert '"ok"' in server.get("/health")  # without a key
        good = question(text, image)
        far = [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}}, {"type": "text", "text": text}]}]
        for error, code, messages, more in [
            (openai.NotFoundError, "model_not_found", good, {"model": "gpt"}),
            (openai.BadRequestError, "too_many_images", question(text, image, image, image), {}),
            (openai.BadRequestError, "image_url_refused", far, {}),
            (openai.BadRequestError, "unsupported-format", question(text, b"no image"), {}),
            (openai.BadRequestError, "context_length_exceeded", question("what " * 2000, image), {}),
            (openai.APIStatusError, "body_too_large", question(text, b"x" * 400_000), {}),
            (openai.BadRequestError, "unsupported_parameter", good, {"n": 2}),
            (openai.BadRequestError, None, good, {"extra_body": {"vtok": {"method": "none-such"}}}),
            (openai.BadRequestError, None, good, {"extra_body": {"vtok": {"method": "fastv", "keep_ratio": 2}}}),
        ]:
            for stream in [False, True]:
                try:
                    api.chat.completions.create(**{"model": "vqa-small", "messages": messages, "stream": stream, **more})
                except error as found:
                    assert found.code == code and found.body["message"], (code, found.body)
                else:
                    raise AssertionError(f"{code} was not refused")
        for key in ["none", "secrets", "Secret"]:
            try:
                client(server, key=key).models.list()
                raise AssertionError(f"the key '{key}' was taken")
            except openai.AuthenticationError:
                pass
    print("refusals: 9 kinds streamed and whole, and keys")


def fetching():
    """Addresses of a host that the server was told of, and what such a host may do."""
    image, text, _ = references("vqa-small")[0]

    class Host(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/slow-end.png":
                self.send_response(200)
                self.send_header("Content-Length", "9999")
                self.end_headers()
                self.wfile.write(image[:100])
                return
            moved = {"/moved.png": "/image.png", "/away.png": f"http://localhost:{self.server.server_port}/image.png"}
            body = {"/image.png": image, "/long.png": b"x" * 500_000}.get(self.path)
            self.send_response(302 if self.path in moved else 200 if body else 404)
            if self.path in moved:
                self.send_header("Location", moved[self.path])
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
    threading.Thread(target=host.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{host.server_port}"

    def about(place):
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": place}}, {"type": "text", "text": text}]}]

    with Server("vqa-small", "--allow-url", address, "--max-body", 400_000) as server:
        api = client(server)
        whole = ask(api, "vqa-small", question(text, image))[1]
        for path in ["image.png", "moved.png"]:
            assert ask(api, "vqa-small", about(f"http://{address}/{path}"))[1] == whole, path
        for place, code in [
            (f"http://{address}/none.png", "image_fetch_failed"), (f"http://{address}/away.png", "image_fetch_failed"),
            (f"http://{address}/long.png", "image_fetch_failed"), (f"http://{address}/slow-end.png", "image_fetch_failed"),
            (f"http://localhost:{host.server_port}/image.png", "image_url_refused"),
            (f"http://a@{address}/image.png", "image_url_refused"), ("file:///etc/hostname", "image_url_refused"),
        ]:
            try:
                ask(api, "vqa-small", about(place))
            except openai.BadRequestError as found:
                assert found.code == code, (place, found.body)
            else:
                raise AssertionError(f"{place} was taken")
        assert ask(api, "vqa-small", question(text, image))[1] == whole
    host.shutdown()
    print("fetching: two addresses taken, seven refused")


def embeddings():
    picture = file(ROOT / "Images/cat.jpg")
    with Server("vtok-tiny") as server:
        api = client(server)
        # The client asks for base64 by itself.
        packed = api.embeddings.create(model="vtok-tiny", input=url(picture)).data[0].embedding
        plain = api.embeddings.create(model="vtok-tiny", input=[url(picture)] * 2, encoding_format="float")
        assert len(plain.data) == 2 and plain.data[1].index == 1
        assert all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(packed, plain.data[0].embedding, strict=True))
        many = api.embeddings.create(
            model="vtok-tiny", input=url(picture), encoding_format="float",
            extra_body={"vtok": {"method": "tome", "keep_ratio": 0.25, "output": "tokens"}})
        rows, keep = many.data[0].embedding, many.data[0].model_extra["keep"]
        assert len(rows) == len(keep) == 64 and len(rows[0]) == len(packed)
        assert many.usage.model_extra["vtok"][0]["tokens"] == {"in": 256, "out": 64}
    print("embeddings: pooled, several vectors, base64")


def queue():
    """Who finds no place gets 429; nobody gets another error."""
    image, text, _ = references("vqa-tiles")[0]
    with Server("vqa-tiles", "--queue", 1) as server:
        found = []

        def one():
            try:
                found.append(ask(client(server), "vqa-tiles", question(text, image))[1])
            except openai.RateLimitError as error:
                found.append(error.code)

        threads = [threading.Thread(target=one) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert "queue_full" in found and len(set(found)) == 2, set(found)
    print(f"queue: {found.count('queue_full')} of 24 were told to come again")


def shared():
    """The first token of a second question about an image comes at least three times sooner."""
    first, second = [], []
    with Server("vqa-tiles", "--threads", 1) as server:
        api = client(server)
        asked = [(image, text) for image, text, _ in references("vqa-tiles")]
        for image, text in asked:
            for times, words in [(first, text), (second, "how many circles are there?"), (second, "what shape is red?")]:
                reply, _ = ask(api, "vqa-tiles", question(words, image))
                ledger = reply.usage.model_extra["vtok"]
                assert ledger["shared_prefix"] == (times is second)
                times.append(ledger["ttft_ms"])
    one, two = sorted(first)[len(first) // 2], sorted(second)[len(second) // 2]
    assert one >= 3 * two, f"{one:.1f} ms, then {two:.1f} ms"
    print(f"shared prefixes: first token after {one:.1f} ms, of a second question after {two:.1f} ms ({one / two:.1f}x)")


def drain():
    """SIGTERM lets answers end that have begun, and the server with them."""
    image, text, _ = references("vqa-tiles")[0]
    with Server("vqa-tiles") as server:
        found = []

        def one():
            try:
                found.append(ask(client(server), "vqa-tiles", question(text, image))[1])
            except openai.APIConnectionError:
                pass  # it came too late

        threads = [threading.Thread(target=one) for _ in range(6)]
        for thread in threads:
            thread.start()
        while server.metric("vtok_requests_inside") < 3 and len(found) < 3:
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert server.process.wait(timeout=30) == 0
        # Who had no connection yet was refused; nobody got half an answer.
        assert found and len(set(found)) == 1, found
    print(f"drain: {len(found)} of 6 answers ended, exit code 0")


if __name__ == "__main__":
    answers("vqa-small")
    answers("vqa-tiles")
    conversations()
    refusals()
    fetching()
    embeddings()
    queue()
    shared()
    drain()
