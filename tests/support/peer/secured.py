"""A REQ of libzmq that shows who it is, asks once, and says what came of it.

Words: connect=ENDPOINT, and user=NAME password=TEXT, or server=Z85 public=Z85 secret=Z85.
"""

import sys

import zmq
from zmq.utils.monitor import recv_monitor_message

words = dict(word.split("=", 1) for word in sys.argv[1:])
context = zmq.Context()
socket = context.socket(zmq.REQ)
socket.linger = 0
if "user" in words:
    socket.plain_username = words["user"].encode()
    socket.plain_password = words["password"].encode()
if "server" in words:
    socket.curve_serverkey = words["server"].encode()
    socket.curve_publickey = words["public"].encode()
    socket.curve_secretkey = words["secret"].encode()
monitor = socket.get_monitor_socket()
socket.connect(words["connect"])
socket.send(b"hello")

poller = zmq.Poller()
poller.register(socket, zmq.POLLIN)
poller.register(monitor, zmq.POLLIN)
while True:
    ready = dict(poller.poll())
    if socket in ready:
        print("answered", socket.recv().decode(), flush=True)
        break
    event = recv_monitor_message(monitor)
    if event["event"] & (
        zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    ):
        print(zmq.Event(event["event"]).name, event["value"], flush=True)
        break
socket.disable_monitor()
context.destroy(linger=0)
