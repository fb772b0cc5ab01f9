"""An authenticator of pyzmq, bound to a tcp port as well, which is printed.

Words: domain=NAME, then any number of user=NAME:PASSWORD, keys=DIRECTORY, deny=ADDRESS.
"""

import asyncio
import sys

import zmq
from zmq.auth.base import Authenticator

authenticator = Authenticator(zmq.Context())
authenticator.start()
authenticator.zap_socket.bind("tcp://127.0.0.1:*")

domain, passwords = "*", {}
for word in sys.argv[1:]:
    name, value = word.split("=", 1)
    if name == "domain":
        domain = value
    elif name == "user":
        passwords.update([value.split(":", 1)])
    elif name == "keys":
        authenticator.configure_curve(domain, value)
    elif name == "deny":
        authenticator.deny(value)
if passwords:
    authenticator.configure_plain(domain, passwords)

print(authenticator.zap_socket.last_endpoint.decode().rstrip("\0"), flush=True)


async def serve():
    while True:
        await authenticator.handle_zap_message(authenticator.zap_socket.recv_multipart())


asyncio.run(serve())
