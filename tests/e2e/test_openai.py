"""The official openai client, unmodified, against a real server and its generator's process."""

import math
import os
import signal
import subprocess
import time

import openai
import pytest
from shoald import ALL_ROLES, Shoald

SAY = [{"role": "user", "content": "Name three colours."}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Shoald(tmp_path_factory.mktemp("openai") / "data", roles=ALL_ROLES) as s:
        s.names = s.wait_models()
        yield s


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"http://{server.http}/v1", api_key="test", max_retries=0,
                         timeout=120)


def test_models_are_listed(client, server):
    assert {m.id for m in client.models.list()} == set(server.names.values())
    assert client.models.retrieve(server.names["generator"]).owned_by == "shoal"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_a_chat_is_answered_and_counted(client, server):
    answer = client.chat.completions.create(model=server.names["generator"], messages=SAY,
                                            max_tokens=12, temperature=0)
    assert answer.object == "chat.completion"
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert 1 <= answer.usage.completion_tokens <= 12
    assert answer.usage.prompt_tokens > 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    if choice.finish_reason == "length":
        assert answer.usage.completion_tokens == 12


def test_a_stream_says_the_same_as_the_whole(client, server):
    asked = dict(model=server.names["generator"], messages=SAY, max_tokens=12, temperature=0)
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(
        stream=True, stream_options={"include_usage": True}, **asked))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert len({c.id for c in chunks}) == 1


def test_a_seed_repeats_the_answer(client, server):
    asked = dict(model=server.names["generator"], messages=SAY, max_tokens=16, temperature=1,
                 seed=11)
    texts = {client.chat.completions.create(**asked).choices[0].message.content for _ in range(2)}
    assert len(texts) == 1


def test_a_stop_string_ends_the_answer(client, server):
    asked = dict(model=server.names["generator"], messages=SAY, max_tokens=24, temperature=0)
    whole = client.chat.completions.create(**asked).choices[0].message.content
    word = whole.split()[2]
    cut = client.chat.completions.create(stop=[word], **asked).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.message.content == whole[:whole.index(word)]


def test_errors_are_the_ones_the_client_knows(client):
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-0", messages=SAY)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="default", messages=SAY, temperature=9)
    with pytest.raises(openai.BadRequestError, match="input"):
        client.embeddings.create(model="default", input="")


def test_embeddings_are_near_for_what_means_the_same(client, server):
    answer = client.embeddings.create(model=server.names["embedder"],
                                      input=["a dog runs", "a puppy is running",
                                             "interest rates rose"])
    assert [d.index for d in answer.data] == [0, 1, 2]
    a, b, c = (d.embedding for d in answer.data)
    for v in (a, b, c):
        assert math.isclose(math.hypot(*v), 1, rel_tol=1e-3)
    near = sum(x * y for x, y in zip(a, b))
    far = sum(x * y for x, y in zip(a, c))
    assert near > 0.5 > far
    assert answer.usage.prompt_tokens > 6
    # The client asks for base64 unless told otherwise: both forms carry the same floats.
    plain = client.embeddings.create(model="default", input="a dog runs",
                                     encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(a, abs=1e-6)


def test_a_generator_that_dies_is_replaced(client, server):
    children = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True,
                              text=True, check=True).stdout.split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    assert server.call("GET", "/readyz")[0] == 200  # the database does not notice
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = client.chat.completions.create(model="default", messages=SAY, max_tokens=2)
            assert answer.choices
            return
        except openai.APIStatusError as e:
            assert e.status_code == 503, e
            assert time.monotonic() < deadline, server.tail()
            time.sleep(0.1)
