"""How clients and workers put their words into frames: one class for each dialect.

A client says ask() and understands answer(); a worker says ready(), beat() and reply() and
understands hear(). Written after the specifications, not after the broker.
"""
import struct

AGAIN, BEAT, TASK = "again", "beat", "task"


class Scale0:
    """S0/1, from a DEALER or a REQ socket."""

    fixed = struct.Struct(">2sBBBBHI8s")
    reopen = False

    def header(self, command, name=b"", id=bytes(8), code=0, ms=0, flags=0):
        return self.fixed.pack(b"S0", 1, command, flags, len(name), code, ms, id) + name

    def ask(self, id, service, body, idempotent=False, ttl=0):
        flags = 2 if idempotent else 0
        id = id.to_bytes(8, "big")
        return [self.header(1, service, id, ms=ttl, flags=flags), *body]

    def cancel(self, id):
        return [self.header(8, id=id.to_bytes(8, "big"))]

    def answer(self, frames):
        _, _, command, flags, _, code, _, id = self.fixed.unpack_from(frames[0])
        assert command in (2, 3), frames
        return {
            "id": int.from_bytes(id, "big"),
            "code": code,
            "error": command == 3,
            "final": command == 3 or not flags & 1,
            "body": frames[1:],
        }

    def ready(self, service):
        return [self.header(4, code=1, ms=self.promise), service]

    def beat(self):
        return [self.header(6, ms=self.promise)]

    def hear(self, frames):
        _, _, command, _, _, code, _, id = self.fixed.unpack_from(frames[0])
        if command == 1:
            return TASK, id, frames[1:], code
        if command == 4:
            return AGAIN, None, None, None
        return BEAT, None, None, None

    def reply(self, token, body, partial=False):
        return [self.header(2, id=token, code=200, flags=1 if partial else 0), *body]


class Majordomo:
    """What the dialects of the family have in common: no ids, no codes."""

    reopen = True

    def answered(self, final, service, body):
        assert body, "a reply without a body"
        return {"service": service.decode(), "final": final, "body": body}


class Mdp01(Majordomo):
    """RFC 7, from a DEALER socket."""

    prefix = [b""]

    def ask(self, id, service, body, **_):
        return [*self.prefix, b"MDPC01", service, *body]

    def answer(self, frames):
        assert frames[:2] == [b"", b"MDPC01"], frames
        return self.answered(True, frames[2], frames[3:])

    def worker(self, command, *frames):
        return [b"", b"MDPW01", bytes([command]), *frames]

    def ready(self, service):
        return self.worker(1, service)

    def beat(self):
        return self.worker(4)

    def hear(self, frames):
        assert frames[:2] == [b"", b"MDPW01"], frames
        if frames[2] == b"\2":
            assert frames[4] == b"" and len(frames) > 5, frames
            return TASK, frames[3], frames[5:], None
        return (AGAIN if frames[2] == b"\5" else BEAT), None, None, None

    def reply(self, token, body, partial=False):
        assert not partial
        return self.worker(3, token, b"", *body)


class Mdp02(Majordomo):
    """RFC 18, from a DEALER socket."""

    prefix = []

    def ask(self, id, service, body, **_):
        return [*self.prefix, b"MDPC02", b"\1", service, *body]

    def answer(self, frames):
        frames = self.strip(frames)
        assert frames[0] == b"MDPC02" and frames[1] in (b"\2", b"\3"), frames
        return self.answered(frames[1] == b"\3", frames[2], frames[3:])

    def strip(self, frames):
        assert frames[: len(self.prefix)] == self.prefix, frames
        return frames[len(self.prefix):]

    def worker(self, command, *frames):
        return [*self.prefix, b"MDPW02", bytes([command]), *frames]

    def ready(self, service):
        return self.worker(1, service)

    def beat(self):
        return self.worker(5)

    def hear(self, frames):
        frames = self.strip(frames)
        assert frames[0] == b"MDPW02", frames
        if frames[1] == b"\2":
            assert frames[3] == b"" and len(frames) > 4, frames
            return TASK, frames[2], frames[4:], None
        return (AGAIN if frames[1] == b"\6" else BEAT), None, None, None

    def reply(self, token, body, partial=False):
        return self.worker(3 if partial else 4, token, b"", *body)


class Mdp02Delimited(Mdp02):
    """RFC 18 with an empty frame in front."""

    prefix = [b""]


class Zproto(Majordomo):
    """RFC 18 with its scalars packed into one frame, as zeromq/majordomo does."""

    def head(self, number, header, command, service=None):
        head = b"\xaa\xa4" + bytes([number]) + b"\6" + header + bytes([command])
        return head if service is None else head + bytes([len(service)]) + service

    def ask(self, id, service, body, **_):
        return [self.head(1, b"MDPC02", 1, service), *body]

    def answer(self, frames):
        head = frames[0]
        assert head[:2] == b"\xaa\xa4" and head[2] in (2, 3) and head[3:10] == b"\6MDPC02", frames
        assert head[10] == head[2] and head[11] == len(head) - 12, frames
        return self.answered(head[2] == 3, head[12:], frames[1:])

    def ready(self, service):
        return [self.head(4, b"MDPW02", 1, service)]

    def beat(self):
        return [self.head(8, b"MDPW02", 5)]

    def hear(self, frames):
        if frames[0] == self.head(5, b"MDPW02", 2):
            assert frames[2] == b"" and len(frames) > 3, frames
            return TASK, frames[1], frames[3:], None
        assert frames[0] in (self.head(8, b"MDPW02", 5), self.head(9, b"MDPW02", 6)), frames
        return (AGAIN if frames[0][2] == 9 else BEAT), None, None, None

    def reply(self, token, body, partial=False):
        head = self.head(6, b"MDPW02", 3) if partial else self.head(7, b"MDPW02", 4)
        return [head, token, b"", *body]


ALL = {
    "s0": Scale0(),
    "mdp01": Mdp01(),
    "mdp02": Mdp02(),
    "mdp02-delimited": Mdp02Delimited(),
    "zproto": Zproto(),
}
