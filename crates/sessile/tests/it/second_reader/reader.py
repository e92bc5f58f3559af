"""A second reader of a sessile directory, written from docs/file_format.md and nothing else.

    python3 reader.py <root> <namespace>
    python3 reader.py <root> <namespace> <session ID> <times>

One line of JSON for each session file, each expiry log and each owner index, in order of name; or one
for each time that it reads this session, while others write to it.
It shares no code with the library: where the two differ, the page, the library or this is wrong.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import struct
import sys
import time

from xxh3 import xxh3

PAGE, INLINE, SLOTS = 4096, 1960, (64, 2080)
TOMBSTONE, IN_TAIL = 1, 2
INSTANT_MAX, FOREVER = 2**48 - 1, 2**64 - 1


class Damaged(Exception):
    pass


class Newer(Exception):
    pass


def need(holds, why):
    if not holds:
        raise Damaged(why)


class Bytes:
    """Takes fields off the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        need(self.at + n <= len(self.data), "shorter than it says")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "little")

    def instant(self):
        value = self.number(8)
        need(value <= INSTANT_MAX, "an instant out of range")
        return value

    def text(self, n):
        try:
            return self.take(n).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Damaged("text that is not UTF-8") from error

    def done(self):
        need(self.at == len(self.data), "bytes behind the end")


def head(data, session_id):
    need(len(data) >= 56 and data[:4] == b"sess", "no head")
    version_of_format, flags, version = struct.unpack_from("<HHQ", data, 4)
    length, page, body_sum, head_sum = struct.unpack_from("<IIQQ", data, 32)
    need(xxh3(data[:48]) == head_sum, "head does not check")
    if version_of_format > 1:
        raise Newer
    need(version_of_format == 1 and flags in (0, TOMBSTONE, IN_TAIL), "unknown format or flags")
    need(version >= 1 and data[16:32] == session_id, "another session's")
    need(flags != TOMBSTONE or length == 0, "a tombstone with a body")
    need((page > 0) == (flags == IN_TAIL), "tail and flags differ")
    return {"version": version, "flags": flags, "length": length, "page": page, "sum": body_sum}


def previous(body):
    hashed, replaced_at = body.take(32).hex(), body.instant()
    until = body.number(8)
    need(until in (FOREVER,) or until <= INSTANT_MAX, "an instant out of range")
    until = None if until == FOREVER else until
    return {"hash": hashed, "replaced_at": replaced_at, "accepted_until": until,
            "auth_epoch": body.number(4)}


def decode(data):
    body = Bytes(data)
    bits, level, retired = body.number(2), body.number(1), body.number(1)
    need(bits < 2**9 and retired <= 4, "unknown bits or too many retired secrets")
    bit = lambda n: bits >> n & 1
    record = {"level": level, "auth_epoch": body.number(4), "secret": body.take(32).hex()}
    record |= {name: body.instant() for name in ("created_at", "used_at", "absolute_deadline")}
    record["authenticated_at"] = body.instant() if bit(1) else None
    record["login_began_at"] = body.instant() if bit(2) else None
    record["idle_timeout"] = body.number(8) if bit(3) else None
    record["previous"] = previous(body) if bit(0) else None
    record["retired"] = [[body.take(32).hex(), body.instant()] for _ in range(retired)]
    for n, name in ((4, "owner"), (5, "client_address"), (6, "user_agent")):
        record[name] = body.text(body.number(2)) if bit(n) else None
    owner = record["owner"]
    need(owner is None or 1 <= len(owner.encode()) <= 255, "an owner too short or too long")
    record["superseded"], record["persistent"] = bool(bit(7)), bool(bit(8))
    record["data"], last = {}, None
    for _ in range(body.number(4)):
        key, value = body.number(2), body.number(4)
        key, value = body.take(key), body.take(value)
        need(last is None or last < key, "keys out of order")
        last = key
        record["data"][Bytes(key).text(len(key))] = Bytes(value).text(len(value))
    body.done()
    return record


def slot(file, page, at, session_id):
    """The state in one slot: its head, and the record or None for a tombstone."""
    found = head(page[at : at + 56], session_id)
    if found["flags"] == TOMBSTONE:
        return found, None
    if found["page"]:
        body = os.pread(file, found["length"], found["page"] * PAGE)
    else:
        need(found["length"] <= INLINE, "an inline body too long")
        body = page[at + 56 : at + 56 + found["length"]]
    need(len(body) == found["length"] and xxh3(body) == found["sum"], "body does not check")
    return found, body


def claimed(page, at):
    return int.from_bytes(page[at + 8 : at + 16], "little")


class Absent(Exception):
    pass


class Torn(Exception):
    """Neither certain nor damaged yet: what the slots looked like, and the state in the other one."""

    def __init__(self, page, fallback):
        self.slots, self.fallback = page[64:], fallback


def look(file, session_id):
    """One reading of a file: the page and the newest state, for certain."""
    page = os.pread(file, PAGE, 0)
    if len(page) < PAGE or not any(page):
        raise Absent
    if page[:7] != b"sessile" or page[7] < 1:
        raise Torn(page, None)
    if page[7] > 1:
        raise Newer
    states = []
    for at in sorted(SLOTS, key=lambda at: (-claimed(page, at), at)):
        try:
            states.append(slot(file, page, at, session_id))
        except Damaged:
            states.append(None)
    first, other = states
    if first:
        return page, first
    if other and other[0]["version"] == max(claimed(page, at) for at in SLOTS):
        return page, other
    raise Torn(page, (page, other) if other else None)


def settle(file, session_id):
    """Reads without a lock until it is certain, and under the commit lock if it stays torn."""
    before = None
    for _ in range(16):
        try:
            return look(file, session_id)
        except Torn as torn:
            if torn.slots == before and torn.fallback:
                return torn.fallback
            before = torn.slots
    with locked(file):
        for _ in range(2):
            try:
                return look(file, session_id)
            except Torn as torn:
                if torn.fallback:
                    return torn.fallback
    raise Damaged("both slots are torn")


@contextlib.contextmanager
def locked(file):
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.0001)
    yield
    fcntl.flock(file, fcntl.LOCK_UN)


def judge(file, session_id):
    page, (found, body) = settle(file, session_id)
    if body is None:
        return {"state": "ended", "version": found["version"]}
    record = decode(body)
    touch = int.from_bytes(page[8:16], "little")
    since = touch & 2**40 - 1
    if touch and xxh3(session_id + since.to_bytes(8, "little")) >> 40 == touch >> 40:
        record["used_at"] = max(record["used_at"], record["created_at"] + since)
    idle = record["idle_timeout"]
    idle_deadline = INSTANT_MAX if idle is None else min(record["used_at"] + idle, INSTANT_MAX)
    record["deadline"] = min(record["absolute_deadline"], idle_deadline)
    where = "tail" if found["page"] else "inline"
    return {"state": "live", "version": found["version"], "where": where, **record}


def session(path):
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return judge(file, bytes.fromhex(path.name))
    except Absent:
        return {"state": "absent"}
    except Damaged as why:
        return {"state": "damaged", "why": str(why)}
    except Newer:
        return {"state": "newer"}
    finally:
        os.close(file)


def entries(data):
    """The entries of 32 bytes that check; `fields` are 24 bytes and their sum."""
    for at in range(0, len(data) - 31, 32):
        entry = data[at : at + 32]
        if xxh3(entry[:24]) == int.from_bytes(entry[24:], "little"):
            yield entry


def expiry(path):
    return [[int.from_bytes(entry[:8], "little"), entry[8:24].hex()]
            for entry in entries(path.read_bytes())]


def index(path):
    data = path.read_bytes()
    if not any(data):
        return {"not_before": 0, "sessions": []}
    need(data[:8] == b"sessown\x01" and xxh3(data[:16]) == int.from_bytes(data[16:24], "little"),
         "no head of an owner index")
    sessions = [[entry[:16].hex(), int.from_bytes(entry[16:24], "little")]
                for entry in entries(data[64:])]
    return {"not_before": int.from_bytes(data[8:16], "little"), "sessions": sessions}


def index_name(root, namespace, owner):
    key = (root / "sessile.key").read_bytes()
    return hashlib.sha256(key + namespace.encode() + b"\0" + owner.encode()).hexdigest()


def everything(root, namespace):
    place = root / namespace
    for path in sorted(place.glob("records/??/" + "?" * 32)):
        found = session(path)
        if found.get("owner"):
            found["index"] = index_name(root, namespace, found["owner"])
        yield {"id": path.name, **found}
    for path in sorted(place.glob("expiry/*")):
        yield {"minute": int(path.name, 16), "entries": expiry(path)}
    for path in sorted(place.glob("owners/*")):
        yield {"index": path.name, **index(path)}


def again_and_again(root, namespace, session_id, times):
    path = root / namespace / "records" / session_id[:2] / session_id
    return (session(path) for _ in range(times))


if __name__ == "__main__":
    place = (pathlib.Path(sys.argv[1]), sys.argv[2])
    if len(sys.argv) == 3:
        lines = everything(*place)
    else:
        lines = again_and_again(*place, sys.argv[3], int(sys.argv[4]))
    for line in lines:
        print(json.dumps(line, ensure_ascii=False, sort_keys=True))
