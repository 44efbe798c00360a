"""A Callgate plugin without any dependency: it has one action, and says what it did as an event.

    callgate run .                                        # here: a bus with this plugin on it
    callgate call my-plugin.hello '{"name": "Ada"}'       # elsewhere: the action
    callgate listen my-plugin.greeted                     # its events

Frames come as lines on stdin and go out as lines on stdout that begin with `IPC:`. Whatever else is printed is a line of
the plugin's log (`callgate logs my-plugin`).
"""

import json
import sys


def send(frame):
    sys.stdout.write("IPC:" + json.dumps(frame) + "\n")
    sys.stdout.flush()


def publish(topic, payload):
    # The manifest has to declare `events.publish:` with this topic.
    send({"type": "events.publish", "topic": topic, "payload": payload})


def hello(params):
    name = params.get("name", "world")
    publish("my-plugin.greeted", name)
    return {"text": f"Hello, {name}!"}


# Each is called as `my-plugin.<action>`, with the caller's argument as params.
ACTIONS = {"hello": hello}


def answer(request):
    action = ACTIONS.get(request["action"])
    if action is None:
        code, message = "UNKNOWN_ACTION", f"there is no action {request['action']}"
        return {"error": {"code": code, "message": message}}
    try:
        return {"result": action(request.get("params", {}))}
    except Exception as error:
        return {"error": {"code": "FAILED", "message": str(error)}}


def handle(frame):
    kind = frame["type"]
    if kind == "ping":
        # A plugin that does not answer is killed and started again.
        send({"type": "pong", "nonce": frame.get("nonce")})
    elif kind == "request":
        send({"type": "response", "id": frame["id"], **answer(frame)})
    else:
        print("not handled:", kind, file=sys.stderr)


def main():
    send({"type": "ready"})
    # The bytes, so that only a line feed ends a line.
    for line in sys.stdin.buffer:
        handle(json.loads(line))


main()
