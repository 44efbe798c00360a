"""Counts what is said in a chat, by sender. The folders beside this one have the same plugin in JavaScript and in Rust.

    callgate call counter-python.say '{"text": "Hello"}'    # says it to all, as the event chat.python
    callgate call counter-python.counts                     # how often each has spoken
    callgate call counter-python.compare                    # the same, and what counter-node has counted
"""

import json
import sys
from itertools import count

counts = {}
# Service calls without an answer yet: by id, the function that takes the answer.
waiting = {}
ids = count(1)


def send(frame):
    sys.stdout.write("IPC:" + json.dumps(frame) + "\n")
    sys.stdout.flush()


def call(gate, params, then):
    """Calls a gate of another plugin; `then` gets the answer when it comes."""
    id = str(next(ids))
    waiting[id] = then
    send({"type": gate, "id": id, **params})


def say(request):
    message = {"from": "python", "text": request["params"].get("text", "")}
    send({"type": "events.publish", "topic": "chat.python", "payload": message})
    return {"result": message}


def counted(request):
    sender = request["params"].get("from")
    return {"result": {name: n for name, n in counts.items() if sender in (None, name)}}


def compare(request):
    def answered(response):
        if response.get("error"):
            answer = {"error": response["error"]}
        else:
            answer = {"result": {"mine": counts, "theirs": response["result"]}}
        send({"type": "response", "id": request["id"], **answer})

    # Answers later: the plugin handles other requests and events meanwhile.
    call("counter-node.counts", {}, answered)
    return None


ACTIONS = {"say": say, "counts": counted, "compare": compare}


def answer(request):
    action = ACTIONS.get(request["action"])
    if action is None:
        message = f"there is no action {request['action']}"
        return {"error": {"code": "UNKNOWN_ACTION", "message": message}}
    return action(request)


def handle(frame):
    kind = frame["type"]
    if kind == "ping":
        send({"type": "pong", "nonce": frame.get("nonce")})
    elif kind == "request":
        outcome = answer(frame)
        if outcome is not None:
            send({"type": "response", "id": frame["id"], **outcome})
    elif kind == "event.deliver":
        sender = frame["payload"]["from"]
        counts[sender] = counts.get(sender, 0) + 1
    elif kind == "response":
        waiting.pop(frame["id"])(frame)
    elif kind == "event.ack":
        # The subscription is in place, so the plugin may be called from now on.
        send({"type": "serve_ready"})


def main():
    send({"type": "ready"})
    send({"type": "events.subscribe", "id": "chat", "topic": "chat.*"})
    # Reads bytes, because only a line feed may end a line.
    for line in sys.stdin.buffer:
        handle(json.loads(line))


main()
