"""A DEALER whose identity is no text: says hello, and prints the answer."""
import sys
import zmq

dealer = zmq.Context().socket(zmq.DEALER)
dealer.identity = b"\x01\xff"
dealer.connect(sys.argv[1])
dealer.send(b"hello")
print(dealer.recv().decode())
