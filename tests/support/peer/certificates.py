"""Reads the certificates OURS.key and OURS.key_secret in a directory and makes a pair of its own
there, all with zmq.auth. Prints what it found as one JSON object.

certificates.py DIRECTORY NAME
"""
import json
import os
import sys

import zmq.auth

directory, name = sys.argv[1:]


def load(file):
    keys = zmq.auth.load_certificate(os.path.join(directory, file))
    return [key and key.decode() for key in keys]


zmq.auth.create_certificates(directory, name, metadata={"owner": "somebody = \"else\""})
print(json.dumps({
    "ours": {"public": load("ours.key"), "secret": load("ours.key_secret")},
    "theirs": {"public": load(name + ".key"), "secret": load(name + ".key_secret")},
    "directory": [key.decode() for key in zmq.auth.load_certificates(directory)],
}))
