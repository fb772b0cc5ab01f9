"""COUNT sockets with one and the same identity, each of which asks ROUNDS times and gets its own
answers, one for each question. Prints "all" when that was so."""
import sys

import zmq

import dialects

endpoint, service, count, rounds = sys.argv[1], sys.argv[2].encode(), *map(int, sys.argv[3:])
context = zmq.Context.instance()
# As many descriptors as sockets, and some more.
context.max_sockets = count + 16
s0 = dialects.ALL["s0"]


def namesake(n):
    s = context.socket(zmq.DEALER)
    s.identity, s.linger = b"the same", 0
    s.connect(endpoint)
    return s


crowd = [namesake(n) for n in range(count)]
for round in range(rounds):
    for n, s in enumerate(crowd):
        # The ids are the same in all of them, too.
        s.send_multipart(s0.ask(round + 1, service, [b"%d of %d" % (round, n)], ttl=60_000))
for n, s in enumerate(crowd):
    left = {b"%d of %d" % (round, n): round + 1 for round in range(rounds)}
    while left:
        assert s.poll(60_000), f"{n} misses {left}"
        reply = s0.answer(s.recv_multipart())
        assert reply["code"] == 200 and reply["final"], reply
        assert left.pop(reply["body"][0]) == reply["id"], reply
for n, s in enumerate(crowd):
    assert not s.poll(0), f"{n} got more than it asked for"
print("all", flush=True)
