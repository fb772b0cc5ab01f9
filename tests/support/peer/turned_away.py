"""Connects sockets of types that a broker does not serve, and prints what becomes of each."""
import sys

import zmq
from zmq.utils.monitor import recv_monitor_message

END = {
    zmq.EVENT_DISCONNECTED,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
}
for kind in (zmq.SUB, zmq.XSUB, zmq.PUSH, zmq.PULL, zmq.PAIR, zmq.REP, zmq.PUB, zmq.XPUB):
    s = zmq.Context.instance().socket(kind)
    s.linger = 0
    monitor = s.get_monitor_socket()
    if kind == zmq.SUB:
        s.subscribe(b"")
    s.connect(sys.argv[1])
    while True:
        event = recv_monitor_message(monitor)["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            print(zmq.SocketType(kind).name, "let in", flush=True)
            break
        if event in END:
            print(zmq.SocketType(kind).name, "turned away", flush=True)
            break
    s.disable_monitor()
    s.close()
