"""Runs `scale0 passwd` for alice on a terminal and types two lines, each when it is asked for.
Prints all that was shown, whether the terminal shows what is typed again, and the exit code.

terminal.py SCALE0 FILE FIRST SECOND
"""
import os
import pty
import subprocess
import sys
import termios

scale0, file, *lines = sys.argv[1:]
ours, theirs = pty.openpty()
process = subprocess.Popen(
    [scale0, "passwd", "--file", file, "--user", "alice"],
    stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
)
shown = b""
for asked, line in enumerate(lines, 1):
    while shown.count(b"alice:") < asked:
        shown += os.read(ours, 4096)
    os.write(ours, line.encode() + b"\n")
code = process.wait(60)
echo = bool(termios.tcgetattr(ours)[3] & termios.ECHO)
os.close(theirs)
try:
    while more := os.read(ours, 4096):
        shown += more
except OSError:
    pass  # Linux ends a terminal with EIO.
print(shown.decode())
print("echo", echo)
print("exit", code)
