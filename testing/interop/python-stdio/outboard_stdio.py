"""The stdio protocol, version 2.1, as docs/stdio-protocol.md has it: the standard library is all it needs.

One thread reads and never waits for anything else, one writes, and each call of the peer has one.
"""

import collections
import os
import struct
import threading
import time

MAGIC = b"\x89OBS\r\n\x1a\n"
VERSION = 2, 1
OPEN, MESSAGE, CHUNK, END, HEADERS, STATUS, CANCEL, CREDIT, GRANT, PART = range(1, 11)
PING, PONG, GOAWAY, CLOSE, CONNECTION_CREDIT = range(0x20, 0x25)
NAMES_FRAME = 0x80
OPENER, END_FLAG, INLINE, LARGE, PARTS = 1, 2, 4, 8, 16
# The flags that each type may carry; the others none.
FLAGS = {OPEN: 31, MESSAGE: 15, CHUNK: 3, END: 1, HEADERS: 16, STATUS: 20, CANCEL: 1, CREDIT: 1, GRANT: 1, PART: 17}
MESSAGE_COST = 64
# The longest path of a method, in bytes.
MAX_PATH = 1_024
# The most names, and the most bytes of them.
MAX_NAMES, MAX_NAMES_SIZE = 1_024, 16_000

MAX_FRAME, STREAM_WINDOW, CONNECTION_WINDOW, MAX_STREAMS, MAX_MESSAGE, MAX_HEAD, NAMES = range(1, 8)
LEAST = {
    MAX_FRAME: 16_384,
    STREAM_WINDOW: 65_536,
    CONNECTION_WINDOW: 65_536,
    MAX_STREAMS: 16,
    MAX_MESSAGE: 2**31 - 1,
    MAX_HEAD: 0,
    NAMES: 0,
}
MOST = {
    MAX_FRAME: 2**24 - 1,
    STREAM_WINDOW: 2**31 - 1,
    CONNECTION_WINDOW: 2**31 - 1,
    MAX_STREAMS: 65_536,
    MAX_MESSAGE: 2**31 - 1,
    MAX_HEAD: 2**24 - 1,
    NAMES: 1,
}
MINE = LEAST | {MAX_FRAME: 65_536, STREAM_WINDOW: 262_144, CONNECTION_WINDOW: 4_194_304, MAX_STREAMS: 256}
MINE[MAX_HEAD] = 2**21 + 1_024
# What is kept of heads in parts, for all streams together.
HEAD_MEMORY = 8 * MINE[MAX_HEAD]
# The longest text of a status, and how much of a longer one fits a frame.
MAX_TEXT, SHORT_TEXT = 2**20, 1_000

OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 0, 1, 2, 4, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14


class Failure(Exception):
    """A status other than OK."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class TimeIsUp(Failure):
    """The time limit of a call has passed."""

    def __init__(self):
        super().__init__(DEADLINE_EXCEEDED, "the time limit has passed")


class Violation(Exception):
    """The peer broke the protocol."""

    close_code = 1


class OtherVersion(Violation):
    """The peer's version is not understood."""

    close_code = 2


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

    def block(self, size=2):
        return self.take(self.number(size))

    def text(self, size=2):
        return text(self.block(size))


def text(data):
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Violation("a text that is not UTF-8") from error


def block(data):
    return struct.pack("<H", len(data)) + data


def shortened(text, most):
    """The text in UTF-8, at most about `most` bytes of it, with a note of what is missing."""
    data = text.encode()
    if len(data) <= most:
        return data
    kept = data[: most - 64].decode(errors="ignore").encode()
    return kept + f"… [{len(data) - len(kept)} of {len(data)} bytes left out]".encode()


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
        self.large_announced = False  # by the peer
        self.asked = self.granted = False  # by this side, of the peer
        self.sent_last = False
        self.status = None
        self.deadline = None  # When the time limit has passed, on the monotonic clock.
        self.timer = None  # Ends a call of the peer then.


class Connection:
    """One side of a connection. `methods` maps paths to functions of a stream; `names` are those of interfaces."""

    def __init__(self, read_fd, write_fd, methods, names=()):
        self.read_fd, self.write_fd, self.methods = read_fd, write_fd, methods
        self.peer = dict(LEAST)
        self.state = threading.Condition()  # guards all below
        self.outgoing = collections.deque()
        self.writing = False
        self.pong = None
        self.ours, self.theirs = {}, {}
        # Heads in parts by their streams: the bytes, or how many there were if they were dropped.
        self.parts_of_ours, self.parts_of_theirs = {}, {}
        self.send_credit = LEAST[CONNECTION_WINDOW]
        self.window, self.owed = MINE[CONNECTION_WINDOW], 0
        self.closed = self.peer_goes = False
        self.names = None  # of the peer, once it has told them
        told = [struct.pack("<B", len(name.encode())) + name.encode() for name in names]
        assert len(told) <= MAX_NAMES and len(b"".join(told)) <= MAX_NAMES_SIZE
        settings = b"".join(struct.pack("<HI", *entry) for entry in (MINE | {NAMES: 1}).items())
        self.outgoing.append(MAGIC + struct.pack("<BBH", *VERSION, len(settings)) + settings)
        self.outgoing.append(encode(NAMES_FRAME, 0, 0, b"".join(told)))
        threading.Thread(target=self.write_all, daemon=True).start()

    # Bytes

    def serve(self):
        """Reads until the peer is gone."""
        try:
            self.read_preface()
            while not self.closed:
                length, kind, number, flags = self.read_header()
                need(length <= MINE[MAX_FRAME], "a frame is too long")
                need(kind != NAMES_FRAME or length <= MAX_NAMES_SIZE, "names that are too long")
                payload = self.read_exactly(length)
                with self.state:
                    self.frame(kind, number, flags, payload)
                    self.state.notify_all()
        except EOFError:
            pass
        except Violation as violation:
            self.put(CLOSE, 0, 0, struct.pack("<H", violation.close_code) + str(violation).encode())
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
        # Byte by byte: whoever sends something else may send no more.
        for expected in MAGIC:
            need(self.read_exactly(1)[0] == expected, "not the preface of this protocol")
        major = self.read_exactly(1)[0]
        if major != VERSION[0]:
            raise OtherVersion(f"the peer speaks version {major} of the stdio protocol, this side {VERSION[0]}")
        _minor, length = struct.unpack("<BH", self.read_exactly(3))
        need(length % 6 == 0 and length <= 600, "malformed settings")
        settings = self.read_exactly(length)
        with self.state:
            before = dict(self.peer)
            for at in range(0, length, 6):
                key, value = struct.unpack_from("<HI", settings, at)
                if key in self.peer:
                    need(value >= (0 if key == MAX_MESSAGE else LEAST[key]), "a setting is too low")
                    need(value <= MOST[key], "a setting is too high")
                    self.peer[key] = value
            need(self.peer[STREAM_WINDOW] >= 2 * (self.peer[MAX_FRAME] + MESSAGE_COST), "a window is too small")
            need(self.peer[CONNECTION_WINDOW] >= self.peer[STREAM_WINDOW], "a window is too small")
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
        due = self.peer[NAMES] == 1 and self.names is None
        need(due == (kind == NAMES_FRAME), "names that were not announced, or another frame in their place")
        if OPEN <= kind <= PART or PING <= kind <= CONNECTION_CREDIT or kind == NAMES_FRAME:
            need(not flags & ~FLAGS.get(kind, 0), "flags that the frame cannot have")
            need(opener or not flags & END_FLAG, "an end that is not the opener's")
            need(kind <= PART or number == 0, "a stream where there is none")
        if kind == OPEN:
            self.opened(number, flags, parts)
        elif kind in (MESSAGE, CHUNK, END, HEADERS, STATUS):
            stream = (self.theirs if opener else self.ours).get(number)
            need(stream is not None and not stream.input_ended, "a frame for a stream that is not open")
            if kind == MESSAGE:
                need(flags & (INLINE | LARGE), "a message without a message")
                self.message(stream, flags, parts)
            elif kind == CHUNK:
                self.chunk(stream, flags, payload)
            elif kind == END:
                need(opener and not stream.large_announced, "an end out of place")
                self.ended(stream)
            elif kind == HEADERS:
                self.head(stream.number, False, flags)  # Nothing here looks at them.
            elif kind == STATUS:
                self.status(stream, flags, parts)
        elif kind == PART:
            self.part(number, opener, flags, payload)
        elif kind in (CANCEL, CREDIT, GRANT):
            stream = (self.theirs if opener else self.ours).get(number)
            if kind == CANCEL:
                self.parts_of_theirs.pop(number, None)
            if stream is None:
                need(opener and number < MINE[MAX_STREAMS], "a frame for a stream that is not open")
            elif kind == CANCEL:
                stream.over = True
                stream.large, stream.large_announced = None, False
                self.finish(stream, CANCELLED, "cancelled")
                self.ended(stream)
            elif kind == CREDIT:
                stream.send_credit += parts.number(4)
            elif not stream.over and stream.status is None:
                need(stream.asked, "a grant that was not asked for")
                stream.asked, stream.granted = False, True
        elif kind == NAMES_FRAME:
            self.names = []
            while parts.rest:
                self.names.append(parts.text(1))
            need(len(self.names) <= MAX_NAMES, "too many names")
        elif kind == PING:
            self.pong = parts.take(8)
        elif kind == CONNECTION_CREDIT:
            self.send_credit += parts.number(4)
        elif kind == CLOSE:
            self.closed = True
        elif kind == GOAWAY:
            self.peer_goes = True
        elif kind != PONG:
            need(kind & 0x80, f"unknown frame type {kind}")

    def part(self, number, opener, flags, payload):
        """A piece of a head that does not fit a frame."""
        if opener:
            need(number < MINE[MAX_STREAMS] and number not in self.theirs, "a part on a wrong stream")
        else:
            need(number in self.ours and not self.ours[number].input_ended, "a part on a wrong stream")
        need(payload, "an empty part")
        heads = self.parts_of_theirs if opener else self.parts_of_ours
        if flags & PARTS:
            heads[number] = bytearray()
        need(number in heads, "a part without a first one")
        head = heads[number]
        dropped = isinstance(head, int)
        length = (head if dropped else len(head)) + len(payload)
        need(length <= MINE[MAX_HEAD], "a head that is too long")
        kept = [*self.parts_of_ours.values(), *self.parts_of_theirs.values()]
        held = sum(len(other) for other in kept if not isinstance(other, int))
        if dropped or held + len(payload) > HEAD_MEMORY:
            heads[number] = length
        else:
            head += payload

    def head(self, number, opener, flags):
        """The head in parts of a frame that has one: bytes, or the length of one that was dropped."""
        head = (self.parts_of_theirs if opener else self.parts_of_ours).pop(number, None)
        if not flags & PARTS:
            return None
        need(head is not None, "a head in parts that is not there")
        return head

    def opened(self, number, flags, parts):
        need(flags & OPENER and number < MINE[MAX_STREAMS], "a wrong stream")
        need(number not in self.theirs, "a stream that is still in use")
        bits = parts.number(1)
        need(bits & ~0x07 == 0, "unknown parts")
        path = parts.text()
        need(len(path.encode()) <= MAX_PATH, "a path that is too long")
        channel = parts.number(4) if bits & 1 else 0
        limit = parts.number(8) / 1e9 if bits & 2 else None
        if bits & 4:
            parts.block()  # No method here looks at metadata.
        head = self.head(number, True, flags)  # No method here looks at metadata.
        stream = self.theirs[number] = Stream(number, False, self.peer[STREAM_WINDOW])
        self.message(stream, flags, parts)
        if isinstance(head, int):
            self.finish(stream, RESOURCE_EXHAUSTED, f"no room for {head} bytes of metadata", refused=True)
            return
        function = self.methods.get(path) if channel == 0 else None
        if function is None:
            code = UNIMPLEMENTED if channel == 0 else UNAVAILABLE
            self.finish(stream, code, f"unknown method {path} on channel {channel}", refused=True)
            return
        if limit is not None:
            stream.deadline = time.monotonic() + limit
            up = TimeIsUp()
            seconds = min(limit, threading.TIMEOUT_MAX)
            stream.timer = threading.Timer(seconds, self.finish, (stream, up.code, up.text))
            stream.timer.daemon = True
            stream.timer.start()
        threading.Thread(target=self.handle, args=(stream, function), daemon=True).start()

    def message(self, stream, flags, parts):
        if flags & (INLINE | LARGE):
            need(not stream.large_announced, "a message in a message")
            need(flags & (INLINE | LARGE) != INLINE | LARGE, "two messages in one frame")
            need(not (flags & LARGE and flags & END_FLAG), "an end within a message")
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
        code, text = self.status_head(parts, 2)
        head = self.head(stream.number, False, flags)
        if isinstance(head, bytearray):
            _, text = self.status_head(Parts(head), 4)
        elif head is not None and code == OK:
            code, text = RESOURCE_EXHAUSTED, f"no room for {head} bytes of metadata"
        self.message(stream, flags & INLINE, parts)
        stream.status = (code, text)
        if not stream.sent_last:
            stream.sent_last = True
            self.put(CANCEL, stream.number, OPENER)
        self.ended(stream)

    def status_head(self, parts, size):
        """Code and text of a status whose blocks have lengths of `size` bytes."""
        bits, code = parts.number(1), parts.number(1)
        need(bits & ~0x1F == 0, "unknown parts")
        for bit in (1, 2):
            if bits & bit:
                parts.block(size)
        text = parts.text(size) if bits & 4 else ""
        if bits & 8:
            parts.block(size)
        return code, text

    def ended(self, stream):
        stream.input_ended = True
        self.forget(stream)

    def forget(self, stream):
        """Frees the number when both sides have sent their last."""
        if stream.input_ended and stream.sent_last:
            (self.ours if stream.ours else self.theirs).pop(stream.number, None)
            if stream.ours:
                self.parts_of_ours.pop(stream.number, None)

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
            end = flags & END_FLAG
            stream.asked, stream.granted = True, False
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
        deadline = stream.deadline if stream.ours else None  # The others have a timer.
        self.until(deadline, lambda: condition() or stream.over or stream.status or self.closed)
        if stream.over or self.closed:
            raise Gone
        if stream.status:
            raise Failure(*stream.status)

    def until(self, deadline, condition):
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        if not self.state.wait_for(condition, left):
            raise TimeIsUp

    def finish(self, stream, code, text, refused=False):
        with self.state:
            if stream.sent_last:
                return
            stream.sent_last = stream.over = True
            if stream.timer is not None:
                stream.timer.cancel()
            short = shortened(text, SHORT_TEXT)
            flags = 0
            if text.encode() != short and self.peer[MAX_HEAD] > SHORT_TEXT:
                # All of it in parts, and its beginning beside them.
                data = shortened(text, min(MAX_TEXT, self.peer[MAX_HEAD] - 6))
                head = bytes([4, code]) + struct.pack("<I", len(data)) + data
                for at in range(0, len(head), self.peer[MAX_FRAME]):
                    piece = head[at : at + self.peer[MAX_FRAME]]
                    self.put(PART, stream.number, 0 if at else PARTS, piece)
                flags = PARTS
            bits = (4 if short else 0) | (0x10 if refused else 0)
            self.put(STATUS, stream.number, flags, bytes([bits, code]) + (block(short) if short else b""))
            self.drop(stream)
            self.forget(stream)

    # Calls of this side.

    def call(self, path, request, channel=0, deadline=None):
        """Makes a unary call, until a time on the monotonic clock if one is given."""
        with self.state:
            stream = self.start(channel, len(request), deadline)
            bits = (1 if channel else 0) | (0 if deadline is None else 2)
            head = bytes([bits]) + block(path.encode())
            if channel:
                head += struct.pack("<I", channel)
            if deadline is not None:
                left = int(max(deadline - time.monotonic(), 0) * 1e9)
                head += struct.pack("<Q", min(left, 2**64 - 1))
            try:
                self.send(stream, request, head, OPEN, END_FLAG)
                stream.sent_last = True
                self.until(deadline, lambda: stream.status or self.closed)
            except TimeIsUp:
                self.put(CANCEL, stream.number, OPENER)
                # The number stays in use until the peer has sent its last.
                stream.sent_last = stream.over = True
                self.drop(stream)
                raise
            if not stream.status:
                raise Gone
            code, text = stream.status
            if code != OK:
                raise Failure(code, text)
            if len(stream.inbox) != 1:
                raise Failure(INTERNAL, "expected one message")
            return self.take_one(stream)

    def start(self, channel, size, deadline):
        """A number for a call, and the credit for its message: all that it has to wait for."""
        free = lambda: next(n for n in range(self.peer[MAX_STREAMS] + 1) if n not in self.ours)
        self.until(deadline, lambda: free() < self.peer[MAX_STREAMS] or self.closed)
        if self.closed:
            raise Gone
        if self.peer_goes and channel == 0:
            raise Failure(UNAVAILABLE, "the other side takes no more calls")
        if size > min(self.peer[MAX_MESSAGE], MINE[MAX_MESSAGE]):
            raise Failure(RESOURCE_EXHAUSTED, "the message is too large")
        stream = Stream(free(), True, self.peer[STREAM_WINDOW])
        stream.deadline = deadline
        self.ours[stream.number] = stream
        cost = size + MESSAGE_COST
        try:
            if size <= self.peer[MAX_FRAME]:
                self.wait(stream, lambda: stream.send_credit >= cost and self.send_credit >= cost)
        except Failure:
            del self.ours[stream.number]
            self.state.notify_all()
            raise
        return stream


def encode(kind, number, flags, payload):
    return (
        len(payload).to_bytes(3, "little") + bytes([kind]) + number.to_bytes(3, "little") + bytes([flags]) + payload
    )
