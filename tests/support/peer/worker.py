"""A worker with one thread, which echoes: it neither hears nor beats while it works on a task.

Prints "task ATTEMPT" for each task, and "again" when the broker wants to be told once more who it
is. With --gate each task waits for a line on stdin, with --work it takes so long, and with --loop
it never ends: the only thread is busy for ever.
"""
import sys
import time

import zmq

import dialects
import sockets

parser = sockets.arguments()
parser.add_argument("service")
parser.add_argument("--gate", action="store_true")
parser.add_argument("--work", type=int, default=0, help="milliseconds for each task")
parser.add_argument("--loop", action="store_true")
parser.add_argument("--partials", type=int, default=0, help="partial replies before the last")
parser.add_argument("--beat", type=int, default=500, help="milliseconds")
typed = parser.parse_args()
dialect = dialects.ALL[typed.dialect]
dialect.promise = typed.beat


def work(s, token, body, attempt):
    print("task", attempt, flush=True)
    if typed.gate:
        sys.stdin.readline()
    time.sleep(typed.work / 1000)
    while typed.loop:
        pass
    for n in range(typed.partials):
        s.send_multipart(dialect.reply(token, [b"part %d" % n, *body], partial=True))
    s.send_multipart(dialect.reply(token, body))


def serve(s):
    s.send_multipart(dialect.ready(typed.service.encode()))
    beat_at = time.monotonic() + typed.beat / 1000
    while True:
        now = time.monotonic()
        if now >= beat_at:
            s.send_multipart(dialect.beat())
            beat_at = now + typed.beat / 1000
        if not s.poll(max(1, (beat_at - now) * 1000)):
            continue
        heard, token, body, attempt = dialect.hear(s.recv_multipart())
        if heard == dialects.TASK:
            work(s, token, body, attempt)
        elif heard == dialects.AGAIN:
            print("again", flush=True)
            # After a DISCONNECT a Majordomo worker comes back on a new socket.
            if dialect.reopen:
                return
            s.send_multipart(dialect.ready(typed.service.encode()))


while True:
    s = sockets.dial(zmq.DEALER, typed)
    serve(s)
    s.close()
