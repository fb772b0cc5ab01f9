"""The least of a broker after RFC 7: services, workers in turn, heartbeats back. Prints where it
listens. For clients and workers of ours that speak to brokers of others."""
import collections

import zmq

READY, REQUEST, REPLY, HEARTBEAT, DISCONNECT = (bytes([n]) for n in range(1, 6))
s = zmq.Context().socket(zmq.ROUTER)
s.bind("tcp://127.0.0.1:*")
print(s.last_endpoint.decode(), flush=True)
service_of, idle, queue = {}, collections.defaultdict(list), collections.defaultdict(list)


def to_worker(worker, *frames):
    s.send_multipart([worker, b"", b"MDPW01", *frames])


def hear_worker(worker, command, rest):
    if command != READY and worker not in service_of:
        to_worker(worker, DISCONNECT)
    elif command == READY:
        service_of[worker] = rest[0]
        idle[rest[0]].append(worker)
    elif command == REPLY:
        client, empty, *body = rest
        assert empty == b"" and body, rest
        s.send_multipart([client, b"", b"MDPC01", service_of[worker], *body])
        idle[service_of[worker]].append(worker)
    elif command == HEARTBEAT:
        to_worker(worker, HEARTBEAT)
    elif command == DISCONNECT:
        print("bye", flush=True)
        workers = idle[service_of.pop(worker)]
        if worker in workers:
            workers.remove(worker)


while True:
    peer, empty, header, *rest = s.recv_multipart()
    assert empty == b"", (header, rest)
    if header == b"MDPW01":
        hear_worker(peer, rest[0], rest[1:])
    elif header == b"MDPC01":
        service, *body = rest
        assert body, rest
        queue[service].append((peer, body))
    for service in queue:
        while queue[service] and idle[service]:
            client, body = queue[service].pop(0)
            to_worker(idle[service].pop(0), REQUEST, client, b"", *body)
