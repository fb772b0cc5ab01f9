"""One socket of libzmq that plays a role: the words are explained in tests/matrix/role.rs."""

import sys
import threading
import time

import zmq
import zmq.auth

words = dict(word.split("=", 1) for word in sys.argv[1:])
kind = words["type"]
mode = words["mode"]
shapes = words.get("shapes", "")
shapes = [tuple(map(int, shape.split("x"))) for shape in shapes.split(",") if shape]
delimiter = [b""] if "delimiter" in words else []
to = [words["to"].encode()] if "to" in words else []

PATTERN = bytes((i * 31 + (i >> 8) * 7) & 255 for i in range(1 << 16)) * 81


def parts(size, count):
    return [PATTERN[n : n + size] for n in range(count)]


def describe(message):
    size, count = len(message[0]) if message else 0, len(message)
    if message == parts(size, count):
        return f"{size}x{count}"
    return f"BAD {[len(part) for part in message]}"


def say(line):
    print(line, flush=True)


context = zmq.Context()
socket = context.socket(getattr(zmq, kind))
if "identity" in words:
    socket.routing_id = words["identity"].encode()
if kind == "ROUTER":
    socket.router_mandatory = True
for name in ("heartbeat_ivl", "heartbeat_timeout", "heartbeat_ttl", "sndhwm", "rcvhwm", "linger"):
    if name in words:
        setattr(socket, name, int(words[name]))
for topic in words.get("topics", "").split(",") if kind in ("SUB", "XSUB") else []:
    if kind == "SUB":
        socket.subscribe(topic.encode())
mechanism = words.get("mechanism", "null")
if mechanism.endswith("-server"):
    from zmq.auth.thread import ThreadAuthenticator

    authenticator = ThreadAuthenticator(context)
    authenticator.start()
decided = None
if mechanism.endswith("-server") and mode == "send":
    # It hears nothing by which it knows that somebody is there, and must not end before it has let
    # him in.
    decided = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
if mechanism == "plain-client":
    socket.plain_username = words["user"].encode()
    socket.plain_password = words["password"].encode()
elif mechanism == "plain-server":
    authenticator.configure_plain(passwords={words["user"]: words["password"]})
    socket.plain_server = True
elif mechanism == "curve-client":
    socket.curve_serverkey = words["server"].encode()
    socket.curve_publickey = words["public"].encode()
    socket.curve_secretkey = words["secret"].encode()
elif mechanism == "curve-server":
    authenticator.configure_curve(location=zmq.auth.CURVE_ALLOW_ANY)
    socket.curve_secretkey = words["secret"].encode()
    socket.curve_server = True
if "bind" in words:
    # Whoever was there before may have been killed just now.
    for attempt in range(200):
        try:
            socket.bind(words["bind"])
            break
        except zmq.ZMQError:
            if attempt == 199:
                raise
            time.sleep(0.01)
    say("bound " + socket.last_endpoint.decode())
else:
    socket.connect(words["connect"])
    say("connecting")
if kind == "XSUB":
    for topic in words.get("topics", "").split(","):
        socket.send(b"\x01" + topic.encode())


def send(message):
    while True:
        try:
            return socket.send_multipart(message, copy=False)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            time.sleep(0.002)


def receive():
    while True:
        message = socket.recv_multipart()
        if kind == "XPUB":
            continue
        return message


def reply():
    message = receive()
    for head in to + delimiter:
        if message[0] != head:
            return say(f"BAD head {message[0][:20]}")
        message = message[1:]
    say(describe(message))


def until_told(act):
    """Again and again, until a line comes in."""
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    while not told.is_set():
        act()
        time.sleep(0.005)


if mode == "echo":
    while True:
        send(receive())
elif mode == "ask":
    for shape in shapes:
        send(to + delimiter + parts(*shape))
        if kind == "REQ":
            reply()
    for shape in shapes if kind != "REQ" else []:
        reply()
elif mode == "send":
    if kind in ("PUB", "XPUB"):
        until_told(lambda: socket.send(b"sync"))
    for shape in shapes:
        send(parts(*shape))
elif mode == "take":
    synced = False
    left = len(shapes)
    while left:
        message = receive()
        if message == [b"sync"]:
            if not synced:
                say("synced")
            synced = True
            continue
        say(describe(message))
        left -= 1
elif mode == "watch":
    while True:
        message = receive()
        n, middle, last = message if len(message) == 3 else (b"", b"", b"?")
        whole = n == last and len(middle) == 20000 and not middle.strip(b"m")
        say(n.decode() if whole else f"BAD {[len(part) for part in message]}")
elif mode == "stream":
    # A burst each time: some of it is on its way when one side goes.
    n = int(words.get("from", "0"))
    topics = words.get("topic", "").split(",")

    def burst():
        global n
        for _ in range(5):
            word = f"{topics[n % len(topics)]}{n}".encode()
            send([word, b"m" * 20000, word])
            n += 1

    until_told(burst)
elif mode == "idle":
    sys.stdin.readline()
if decided:
    decided.poll(30_000)
    socket.disable_monitor()
socket.close()
if mechanism.endswith("-server"):
    authenticator.stop()
context.term()
say("done")
