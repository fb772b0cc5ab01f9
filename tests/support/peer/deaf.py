"""Asks for N echoes of 64 KiB in S0/1 and never reads one. Goes on until it is stopped."""
import sys
import threading

import zmq

import dialects

endpoint, service, count = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
s = zmq.Context.instance().socket(zmq.DEALER)
# What libzmq takes by itself is little; the tasks all go out.
s.rcvhwm, s.sndhwm, s.linger = 1, 0, 0
s.connect(endpoint)
for n in range(1, count + 1):
    s.send_multipart(dialects.ALL["s0"].ask(n, service, [bytes(64 << 10)], ttl=60_000))
threading.Event().wait()
