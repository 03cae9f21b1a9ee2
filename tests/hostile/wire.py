"""HTTP/1.1 by bytes: what is sent is exactly what a case says, and what came back is read without a client's leniency."""

import socket
import time

#: Seconds without another byte after which a response is the last one.
PAUSE = 0.3


def receive(connection, seconds, until_closed=False):
    """Bytes of the responses, and whether the connection was closed. Ends after a pause with a response, too."""
    data = b""
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return data, False
        pause = left if until_closed or not complete(data) else min(left, PAUSE)
        connection.settimeout(pause)
        try:
            piece = connection.recv(65536)
        except socket.timeout:
            if complete(data) or time.monotonic() >= end:
                return data, False
            continue
        except OSError:
            return data, True
        if not piece:
            return data, True
        data += piece


def complete(data):
    """Whether the data is one or more whole responses."""
    found, rest = responses(data)
    return bool(found) and not rest


def responses(data):
    """The responses as (status, headers, body), and the bytes that are not a whole response."""
    found = []
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        if not separator:
            return found, data
        lines = head.split(b"\r\n")
        parts = lines[0].split(b" ", 2)
        if len(parts) < 2 or not parts[1].isdigit():
            return found, data
        status = int(parts[1])
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
        if headers.get("transfer-encoding") == "chunked":
            body, end = b"", False
            while not end:
                size, separator, rest = rest.partition(b"\r\n")
                if not separator:
                    return found, data
                length = int(size, 16)
                if len(rest) < length + 2:
                    return found, data
                body, rest, end = body + rest[:length], rest[length + 2:], length == 0
        elif status >= 200 and status not in (204, 304):
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return found, data
            body, rest = rest[:length], rest[length:]
        else:
            body = b""
        if status != 100:
            found.append((status, headers, body))
        data = rest
    return found, data


def exchange(connection, data, seconds=10, until_closed=False):
    """Sends the bytes; `(statuses, closed, raw)`. A peer that closes while it is written to is a response, too."""
    try:
        connection.settimeout(seconds)
        connection.sendall(data)
    except OSError:
        pass
    raw, closed = receive(connection, seconds, until_closed)
    found, _ = responses(raw)
    return [status for status, _, _ in found], closed, raw


def outcome(statuses, closed):
    """The statuses joined by commas; without one, `closed` or `open`."""
    return ",".join(map(str, statuses)) or ("closed" if closed else "open")


def until_response(connection, data):
    """Sends the bytes; the status of the first response as soon as it is whole, or None for a connection that ends."""
    received = b""
    try:
        connection.sendall(data)
        while not complete(received):
            piece = connection.recv(65536)
            if not piece:
                return None
            received += piece
    except OSError:
        return None
    return responses(received)[0][0][0]


def seconds_until_closed(connection, limit):
    """Bytes until the peer closes, and the seconds that took; None if it is still open after `limit` seconds."""
    started = time.monotonic()
    data = b""
    while True:
        left = limit - (time.monotonic() - started)
        if left <= 0:
            return data, None
        connection.settimeout(left)
        try:
            piece = connection.recv(65536)
        except socket.timeout:
            return data, None
        except OSError:
            return data, time.monotonic() - started
        if not piece:
            return data, time.monotonic() - started
        data += piece
