"""A client that asks what it reads on stdin, one JSON object a line, and prints each reply as one.

{"id": 1, "service": "echo", "body": ["a", ""]} is sent at once; {"cancel": 1} cancels. Ends when
stdin has and every request is answered.
"""
import json
import os

import zmq

import dialects
import sockets

parser = sockets.arguments()
parser.add_argument("--req", action="store_true", help="a REQ socket instead of a DEALER")
parser.add_argument("--correlate", action="store_true", help="REQ_CORRELATE and REQ_RELAXED")
parser.add_argument("--envelope", action="store_true", help="S0 with a REQ's empty frame")
typed = parser.parse_args()
dialect = dialects.ALL[typed.dialect]

s = sockets.dial(zmq.REQ if typed.req else zmq.DEALER, typed)
if typed.correlate:
    s.req_correlate = s.req_relaxed = 1
# A REQ socket puts the empty frame there itself, and takes it away.
delimited = typed.req and typed.dialect in ("mdp01", "mdp02-delimited")


def send(frames):
    if delimited:
        frames = frames[1:]
    s.send_multipart([b"", *frames] if typed.envelope else frames)


def receive():
    frames = s.recv_multipart()
    if typed.envelope:
        assert frames[0] == b"", frames
        frames = frames[1:]
    reply = dialect.answer([b"", *frames] if delimited else frames)
    reply["body"] = [part.decode("latin-1") for part in reply["body"]]
    print(json.dumps(reply), flush=True)
    return reply["final"]


poller = zmq.Poller()
poller.register(s, zmq.POLLIN)
poller.register(0, zmq.POLLIN)
waiting, unread, ended = 0, b"", False
while waiting or not ended:
    ready = dict(poller.poll())
    if s in ready:
        waiting -= receive()
    lockstep = typed.req and not typed.correlate
    if 0 in ready and not ended:
        read = os.read(0, 65536)
        if not read:
            ended = True
            poller.unregister(0)
        *lines, unread = (unread + read).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "cancel" in request:
                send(dialect.cancel(request["cancel"]))
                continue
            service = request.pop("service").encode()
            body = [part.encode("latin-1") for part in request.pop("body")]
            send(dialect.ask(request.pop("id", 0), service, body, **request))
            waiting = 1 if typed.req else waiting + 1
            while lockstep and waiting:
                waiting -= receive()
