"""ROUTER in front, DEALER to the broker, and nothing between them. Prints where it listens."""
import sys

import zmq

front = zmq.Context.instance().socket(zmq.ROUTER)
front.bind("tcp://127.0.0.1:*")
back = zmq.Context.instance().socket(zmq.DEALER)
back.connect(sys.argv[1])
print(front.last_endpoint.decode(), flush=True)
zmq.proxy(front, back)
