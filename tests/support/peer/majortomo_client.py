"""majortomo's own client: asks once and prints each part of the reply as JSON."""
import json
import sys

import majortomo

endpoint, service, *body = sys.argv[1:]
with majortomo.Client(endpoint) as client:
    client.send(service, *(part.encode() for part in body))
    for part in client.recv_all(timeout=50):
        print(json.dumps([frame.decode() for frame in part]), flush=True)
