"""Arguments and options that clients and workers share."""
import argparse

import zmq

import dialects


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("dialect", choices=dialects.ALL)
    parser.add_argument("--identity", default="")
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--heartbeat", type=int, help="ZMTP heartbeats, in milliseconds")
    return parser


def dial(kind, typed):
    s = zmq.Context.instance().socket(kind)
    s.linger = 0
    s.sndhwm = s.rcvhwm = 0
    s.ipv6 = True
    if typed.identity:
        s.identity = typed.identity.encode()
    if typed.probe:
        s.probe_router = 1
    if typed.heartbeat:
        s.heartbeat_ivl = typed.heartbeat
        s.heartbeat_timeout = typed.heartbeat * 30
        s.heartbeat_ttl = typed.heartbeat * 10
    s.connect(typed.endpoint)
    return s
