"""Connects with ZMTP heartbeats every 100 ms that give up after 3 s, and says nothing for 5 s.
Prints each end of the connection, then "idle"; then goes on until it is stopped."""
import sys
import threading

import zmq
from zmq.utils.monitor import recv_monitor_message

s = zmq.Context.instance().socket(zmq.DEALER)
s.heartbeat_ivl, s.heartbeat_timeout, s.heartbeat_ttl = 100, 3000, 2000
monitor = s.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
s.connect(sys.argv[1])
assert recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
print("connected", flush=True)
if monitor.poll(5000):
    print("disconnected", flush=True)
print("idle", flush=True)
threading.Event().wait()
