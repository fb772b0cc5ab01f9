"""Sends N requests in MDP/0.1 from one DEALER before it reads the first reply. Prints how many
replies came, and how many different ones."""
import sys

import zmq

endpoint, count = sys.argv[1], int(sys.argv[2])
s = zmq.Context().socket(zmq.DEALER)
s.sndhwm = 0
s.connect(endpoint)
for n in range(count):
    s.send_multipart([b"", b"MDPC01", b"echo", b"%d" % n])
got = set()
for received in range(1, count + 1):
    if not s.poll(60_000):
        received -= 1
        break
    frames = s.recv_multipart()
    assert frames[:3] == [b"", b"MDPC01", b"echo"] and len(frames) == 4, frames
    got.add(int(frames[3]))
print(received, len(got), flush=True)
