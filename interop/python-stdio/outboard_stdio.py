"""The stdio protocol, version 1.0, as docs/stdio-protocol.md has it: the standard library is all it needs.

One thread reads and never waits for anything else, one writes, and each call of the peer has one.
"""

import collections
import os
import struct
import threading

MAGIC = b"\x89OBS\r\n\x1a\n"
OPEN, MESSAGE, CHUNK, END, HEADERS, STATUS, CANCEL, CREDIT, GRANT = range(1, 10)
PING, PONG, GOAWAY, CLOSE, CONNECTION_CREDIT = range(0x20, 0x25)
OPENER, END_FLAG, INLINE, LARGE = 1, 2, 4, 8
UNNUMBERED = 0xFFFF
MESSAGE_COST = 64

MAX_FRAME, STREAM_WINDOW, CONNECTION_WINDOW, MAX_STREAMS, MAX_METHODS, MAX_MESSAGE = range(1, 7)
LEAST = {
    MAX_FRAME: 16_384,
    STREAM_WINDOW: 65_536,
    CONNECTION_WINDOW: 65_536,
    MAX_STREAMS: 16,
    MAX_METHODS: 16,
    MAX_MESSAGE: 2**31 - 1,
}
MINE = LEAST | {MAX_FRAME: 65_536, STREAM_WINDOW: 262_144, CONNECTION_WINDOW: 4_194_304, MAX_STREAMS: 256}

OK, CANCELLED, UNKNOWN, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 1, 2, 8, 12, 13, 14


class Failure(Exception):
    """A status other than OK."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Violation(Exception):
    """The peer broke the protocol."""


class Gone(Exception):
    """The call or the connection is over."""


def need(condition, text):
    if not condition:
        raise Violation(text)


class Parts:
    """What is left of a payload."""

    def __init__(self, payload):
        self.rest = memoryview(payload)

    def take(self, count):
        need(len(self.rest) >= count, "a frame is too short")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return bytes(taken)

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def block(self):
        return self.take(self.number(2))


def block(data):
    return struct.pack("<H", len(data)) + data


class Stream:
    """One call, of either side."""

    def __init__(self, number, ours, credit):
        self.number, self.ours = number, ours
        self.inbox = collections.deque()
        self.input_ended = False  # The peer sends no more messages.
        self.over = False  # Nobody is interested any more.
        self.send_credit = credit
        self.window, self.owed = MINE[STREAM_WINDOW], 0
        self.large_left, self.large = 0, None
        self.large_announced = self.granted = False
        self.sent_last = False
        self.status = None


class Connection:
    """One side of a connection. `methods` maps paths to functions of a stream."""

    def __init__(self, read_fd, write_fd, methods):
        self.read_fd, self.write_fd, self.methods = read_fd, write_fd, methods
        self.peer = dict(LEAST)
        self.state = threading.Condition()  # guards all below
        self.outgoing = collections.deque()
        self.writing = False
        self.pong = None
        self.ours, self.theirs = {}, {}
        self.names_in, self.names_out = [], {}
        self.send_credit = LEAST[CONNECTION_WINDOW]
        self.window, self.owed = MINE[CONNECTION_WINDOW], 0
        self.closed = False
        settings = b"".join(struct.pack("<HI", *entry) for entry in MINE.items())
        self.outgoing.append(MAGIC + struct.pack("<BBH", 1, 0, len(settings)) + settings)
        threading.Thread(target=self.write_all, daemon=True).start()

    # Bytes

    def serve(self):
        """Reads until the peer is gone."""
        try:
            self.read_preface()
            while not self.closed:
                length, kind, number, flags = self.read_header()
                need(length <= MINE[MAX_FRAME], "a frame is too long")
                payload = self.read_exactly(length)
                with self.state:
                    self.frame(kind, number, flags, payload)
                    self.state.notify_all()
        except EOFError:
            pass
        except Violation as violation:
            self.put(CLOSE, 0, 0, struct.pack("<H", 1) + str(violation).encode())
            self.flush()
        with self.state:
            self.closed = True
            self.state.notify_all()

    def read_exactly(self, count):
        data = bytearray()
        while len(data) < count:
            piece = os.read(self.read_fd, min(count - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def read_header(self):
        header = self.read_exactly(8)
        number = int.from_bytes
        return number(header[0:3], "little"), header[3], number(header[4:7], "little"), header[7]

    def read_preface(self):
        need(self.read_exactly(8) == MAGIC, "not the preface of this protocol")
        major, _minor, length = struct.unpack("<BBH", self.read_exactly(4))
        need(major == 1, "another version of the protocol")
        need(length % 6 == 0 and length <= 600, "malformed settings")
        settings = self.read_exactly(length)
        with self.state:
            before = dict(self.peer)
            for at in range(0, length, 6):
                key, value = struct.unpack_from("<HI", settings, at)
                if key in self.peer:
                    need(value >= (0 if key == MAX_MESSAGE else LEAST[key]), "a setting is too low")
                    self.peer[key] = value
            self.send_credit += self.peer[CONNECTION_WINDOW] - before[CONNECTION_WINDOW]
            for stream in self.ours.values():
                stream.send_credit += self.peer[STREAM_WINDOW] - before[STREAM_WINDOW]
            self.state.notify_all()

    def write_all(self):
        while True:
            with self.state:
                self.state.wait_for(lambda: self.outgoing or self.pong is not None)
                if self.pong is not None:
                    self.outgoing.append(encode(PONG, 0, 0, self.pong))
                    self.pong = None
                data = b"".join(self.outgoing)
                self.outgoing.clear()
                self.writing = True
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self.write_fd, view) :]
            except OSError:
                return
            with self.state:
                self.writing = False
                self.state.notify_all()

    def put(self, kind, number, flags, payload=b""):
        with self.state:
            self.outgoing.append(encode(kind, number, flags, payload))
            self.state.notify_all()

    def flush(self):
        """Waits until all is written."""
        with self.state:
            self.state.wait_for(lambda: not self.outgoing and not self.writing, timeout=5)

    # Frames of the peer; the reader holds the lock.

    def frame(self, kind, number, flags, payload):
        parts = Parts(payload)
        opener = bool(flags & OPENER)
        if kind == OPEN:
            self.opened(number, flags, parts)
        elif kind in (MESSAGE, CHUNK, END, HEADERS, STATUS):
            stream = (self.theirs if opener else self.ours).get(number)
            need(stream is not None and not stream.input_ended, "a frame for a stream that is not open")
            if kind == MESSAGE:
                self.message(stream, flags, parts)
            elif kind == CHUNK:
                self.chunk(stream, flags, payload)
            elif kind == END:
                need(opener and not stream.large_announced, "an end out of place")
                self.ended(stream)
            elif kind == STATUS:
                self.status(stream, flags, parts)
        elif kind in (CANCEL, CREDIT, GRANT):
            stream = (self.theirs if opener else self.ours).get(number)
            if stream is None:
                need(opener and number < MINE[MAX_STREAMS], "a frame for a stream that is not open")
            elif kind == CANCEL:
                stream.over = True
                stream.large, stream.large_announced = None, False
                self.finish(stream, CANCELLED, "cancelled")
                self.ended(stream)
            elif kind == CREDIT:
                stream.send_credit += parts.number(4)
            else:
                stream.granted = True
        elif kind == PING:
            self.pong = parts.take(8)
        elif kind == CONNECTION_CREDIT:
            self.send_credit += parts.number(4)
        elif kind == CLOSE:
            self.closed = True
        elif kind not in (PONG, GOAWAY):
            need(kind & 0x80, f"unknown frame type {kind}")

    def opened(self, number, flags, parts):
        need(flags & OPENER and number < MINE[MAX_STREAMS], "a wrong stream")
        need(number not in self.theirs, "a stream that is still in use")
        bits = parts.number(1)
        need(bits & ~0x0F == 0, "unknown parts")
        method = parts.number(2)
        path = parts.block().decode() if bits & 1 else None
        channel = parts.number(4) if bits & 2 else 0
        if bits & 4:
            parts.number(8)  # The caller cancels when its time is over.
        if bits & 8:
            parts.block()  # No method here looks at metadata.
        if path is None:
            need(method < len(self.names_in), "a method without a name")
            path = self.names_in[method]
        elif method != UNNUMBERED:
            need(method == len(self.names_in) < MINE[MAX_METHODS], "a method number out of turn")
            self.names_in.append(path)
        stream = self.theirs[number] = Stream(number, False, self.peer[STREAM_WINDOW])
        self.message(stream, flags, parts)
        function = self.methods.get(path) if channel == 0 else None
        if function is None:
            code = UNIMPLEMENTED if channel == 0 else UNAVAILABLE
            self.finish(stream, code, f"unknown method {path} on channel {channel}", refused=True)
            return
        threading.Thread(target=self.handle, args=(stream, function), daemon=True).start()

    def message(self, stream, flags, parts):
        if flags & (INLINE | LARGE):
            need(not stream.large_announced, "a message in a message")
        if flags & INLINE:
            data = bytes(parts.rest)
            cost = len(data) + MESSAGE_COST
            stream.window -= cost
            self.window -= cost
            need(stream.window >= 0 and self.window >= 0, "more messages than credit")
            stream.inbox.append((data, cost))
            if stream.over:
                self.drop(stream)
        elif flags & LARGE:
            stream.large_left = parts.number(4)
            need(stream.large_left > 0, "an empty large message")
            stream.large, stream.large_announced = bytearray(), True
            if not stream.over:
                self.put(GRANT, stream.number, OPENER if stream.ours else 0)
        if flags & END_FLAG:
            self.ended(stream)

    def chunk(self, stream, flags, payload):
        need(stream.large_announced and payload, "a chunk that was not asked for")
        need(len(payload) <= stream.large_left, "a chunk that is too long")
        stream.large_left -= len(payload)
        stream.large += payload
        if stream.large_left == 0:
            data, stream.large, stream.large_announced = bytes(stream.large), None, False
            if not stream.over:
                stream.inbox.append((data, 0))
        if flags & END_FLAG:
            need(not stream.large_announced, "an end within a message")
            self.ended(stream)

    def status(self, stream, flags, parts):
        bits, code = parts.number(1), parts.number(1)
        need(bits & ~0x1F == 0, "unknown parts")
        if bits & 1:
            parts.block()
        if bits & 2:
            parts.block()
        text = parts.block().decode() if bits & 4 else ""
        if bits & 8:
            parts.block()
        self.message(stream, flags & INLINE, parts)
        stream.status = (code, text)
        if not stream.sent_last:
            stream.sent_last = True
            self.put(CANCEL, stream.number, OPENER)
        self.ended(stream)

    def ended(self, stream):
        stream.input_ended = True
        self.forget(stream)

    def forget(self, stream):
        """Frees the number when both sides have sent their last."""
        if stream.input_ended and stream.sent_last:
            (self.ours if stream.ours else self.theirs).pop(stream.number, None)

    def drop(self, stream):
        while stream.inbox:
            self.take_one(stream)

    def take_one(self, stream):
        data, cost = stream.inbox.popleft()
        self.owed += cost
        if self.owed * 2 >= MINE[CONNECTION_WINDOW]:
            self.put(CONNECTION_CREDIT, 0, 0, struct.pack("<I", self.owed))
            self.window, self.owed = self.window + self.owed, 0
        stream.owed += cost
        if stream.owed * 2 >= MINE[STREAM_WINDOW] and not stream.input_ended and not stream.over:
            self.put(CREDIT, stream.number, OPENER if stream.ours else 0, struct.pack("<I", stream.owed))
            stream.window, stream.owed = stream.window + stream.owed, 0
        return data

    # Calls of the peer, each in its thread.

    def handle(self, stream, function):
        try:
            function(stream)
            self.finish(stream, OK, "")
        except Failure as failure:
            self.finish(stream, failure.code, failure.text)
        except Gone:
            pass
        except Exception as error:  # A bug in a method must not end the plugin.
            self.finish(stream, INTERNAL, repr(error))

    def receive(self, stream):
        """The next message, None after the last."""
        with self.state:
            self.state.wait_for(lambda: stream.inbox or stream.input_ended or stream.over or self.closed)
            if stream.inbox:
                return self.take_one(stream)
            if stream.over or (self.closed and not stream.input_ended):
                raise Gone
            return None

    def receive_one(self, stream):
        first = self.receive(stream)
        if first is None or self.receive(stream) is not None:
            raise Failure(INTERNAL, "expected one message")
        return first

    def send(self, stream, data, head=b"", kind=MESSAGE, flags=0):
        """Sends a message, behind the head of its frame, when there is credit for it."""
        if len(data) > min(self.peer[MAX_MESSAGE], MINE[MAX_MESSAGE]):
            raise Failure(RESOURCE_EXHAUSTED, "the message is too large")
        flags |= OPENER if stream.ours else 0
        with self.state:
            if len(head) + len(data) <= self.peer[MAX_FRAME]:
                cost = len(data) + MESSAGE_COST
                self.wait(stream, lambda: stream.send_credit >= cost and self.send_credit >= cost)
                stream.send_credit -= cost
                self.send_credit -= cost
                self.put(kind, stream.number, flags | INLINE, head + data)
                return
            end, stream.granted = flags & END_FLAG, False
            self.put(kind, stream.number, (flags & ~END_FLAG) | LARGE, head + struct.pack("<I", len(data)))
            self.wait(stream, lambda: stream.granted)
        piece = self.peer[MAX_FRAME]
        for at in range(0, len(data), piece):
            with self.state:
                # One piece at a time, so that others get their turn.
                self.wait(stream, lambda: not self.outgoing)
                last = end if at + piece >= len(data) else 0
                self.put(CHUNK, stream.number, (flags & OPENER) | last, data[at : at + piece])

    def wait(self, stream, condition):
        self.state.wait_for(lambda: condition() or stream.over or stream.status or self.closed)
        if stream.over or self.closed:
            raise Gone
        if stream.status:
            raise Failure(*stream.status)

    def finish(self, stream, code, text, refused=False):
        with self.state:
            if stream.sent_last:
                return
            stream.sent_last = stream.over = True
            text = text.encode()[:1_000]
            bits = (4 if text else 0) | (0x10 if refused else 0)
            self.put(STATUS, stream.number, 0, bytes([bits, code]) + (block(text) if text else b""))
            self.drop(stream)
            self.forget(stream)

    # Calls of this side.

    def call(self, path, request, channel=0):
        """Makes a unary call."""
        with self.state:
            free = lambda: next(n for n in range(self.peer[MAX_STREAMS] + 1) if n not in self.ours)
            self.state.wait_for(lambda: free() < self.peer[MAX_STREAMS] or self.closed)
            if self.closed:
                raise Gone
            stream = Stream(free(), True, self.peer[STREAM_WINDOW])
            self.ours[stream.number] = stream
            named = path not in self.names_out
            if named and len(self.names_out) < self.peer[MAX_METHODS]:
                self.names_out[path] = len(self.names_out)
            method = self.names_out.get(path, UNNUMBERED)
            head = bytes([(1 if named else 0) | (2 if channel else 0)]) + struct.pack("<H", method)
            if named:
                head += block(path.encode())
            if channel:
                head += struct.pack("<I", channel)
            # The name counts from the first frame that carries it, so frames go out in order.
            self.send(stream, request, head, OPEN, END_FLAG)
            stream.sent_last = True
            self.state.wait_for(lambda: stream.status or self.closed)
            if not stream.status:
                raise Gone
            code, text = stream.status
            if code != OK:
                raise Failure(code, text)
            if len(stream.inbox) != 1:
                raise Failure(INTERNAL, "expected one message")
            return self.take_one(stream)


def encode(kind, number, flags, payload):
    return (
        len(payload).to_bytes(3, "little") + bytes([kind]) + number.to_bytes(3, "little") + bytes([flags]) + payload
    )
