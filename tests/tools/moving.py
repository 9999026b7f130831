"""moving - numbered lines flow, and what reads them is moved meanwhile

    moving.py within MOUNT SECONDS      in one source, among other pipelines that come, go and move
    moving.py between MOUNT SECONDS     from one source to another and back

Tells by its own count: each reader has to get every number once and in order. Prints what was done; status 1 and the
first number that is wrong if there is one.
"""
import errno
import os
import random
import sys
import threading
import time

MODE, P, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
stop = threading.Event()
wrong = []
done = {"moves": 0, "refused": 0, "made": 0, "removed": 0, "other moves": 0}
lock = threading.Lock()


def count(what, n=1):
    with lock:
        done[what] += n


class Writer(threading.Thread):
    """Numbered lines `TAG NUMBER`, some at a time."""

    def __init__(self, path, tag):
        super().__init__()
        self.fd, self.tag, self.next, self.halt = os.open(path, os.O_WRONLY), tag, 0, threading.Event()
        self.turn = threading.Lock()  # held while a number is on its way into the kernel

    def run(self):
        chance = random.Random(self.tag)
        while not self.halt.is_set():
            n = chance.randrange(1, 200)
            text = b"".join(b"%s %d\n" % (self.tag.encode(), i) for i in range(self.next, self.next + n))
            with self.turn:
                while text:
                    text = text[os.write(self.fd, text):]
                self.next += n
            time.sleep(chance.random() / 2000)
        os.close(self.fd)


class Reader(threading.Thread):
    """Everything up to the end."""

    def __init__(self, path, check):
        super().__init__()
        self.path, self.fd, self.check, self.lines = path, os.open(path, os.O_RDONLY), check, 0

    def run(self):
        rest = b""
        while True:
            data = os.read(self.fd, 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.lines += 1
                said = self.check(line)
                if said:
                    with lock:
                        wrong.append(f"{self.path}: line {self.lines}: {line[:60]!r}: {said}")
                    stop.set()
                    return
        os.close(self.fd)


def in_order():
    want = [0]

    def check(line):
        tag, number = line.split()
        if int(number) != want[0]:
            return f"expected {want[0]}"
        want[0] += 1
        return None
    return check


def move(old, new):
    try:
        os.rename(old, new)
        return True
    except OSError as e:
        if e.errno != errno.EBUSY:
            with lock:
                wrong.append(f"rename {old} {new}: {e}")
            stop.set()
        count("refused")
        return False


def others(top, places, seed):
    """Pipelines of no consequence, 25 at a time, some of them with readers."""
    chance = random.Random(seed)
    mine = {}
    for n in range(10 ** 9):
        if stop.is_set():
            break
        i = chance.randrange(25)
        name = f"head:{seed}000{i:03}"
        where = chance.choice(places)
        try:
            if i not in mine:
                os.mkdir(f"{where}/{name}")
                os.mkdir(f"{where}/{name}/count")
                mine[i] = where
                count("made")
            elif chance.random() < 0.6:
                if where != mine[i] and move(f"{mine[i]}/{name}", f"{where}/{name}"):
                    mine[i] = where
                    count("other moves")
            else:
                os.rmdir(f"{mine[i]}/{name}/count")
                os.rmdir(f"{mine[i]}/{name}")
                del mine[i]
                count("removed")
        except OSError as e:
            with lock:
                wrong.append(f"others: {e}")
            stop.set()


def within():
    top = f"{P}/accept:moving/lines"
    places = [top, f"{top}/head:900000000000", f"{top}/lines", f"{top}/lines/head:900000000001", f"{top}/head:900000000002/lines"]
    for place in places:
        os.makedirs(place, exist_ok=True)
    os.makedirs(f"{top}/head:777777777777/lines/head:777777777778")
    mover = "head:777777777777"
    readers = [Reader(f"{p}/all", in_order()) for p in (
        top, places[3], f"{top}/{mover}", f"{top}/{mover}/lines", f"{top}/{mover}/lines/head:777777777778")]
    writer = Writer(f"{P}/accept:moving/all", "n")
    threads = [threading.Thread(target=others, args=(top, places, s)) for s in range(1, 5)]
    for t in readers + threads + [writer]:
        t.start()
    chance, at = random.Random(7), 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not stop.is_set():
        to = chance.randrange(len(places))
        if to != at and move(f"{places[at]}/{mover}", f"{places[to]}/{mover}"):
            at = to
            count("moves")
    stop.set()
    for t in threads:
        t.join()
    writer.halt.set()
    writer.join()
    for r in readers:
        r.join()
        if not wrong and r.lines != writer.next:
            wrong.append(f"{r.path}: {r.lines} of {writer.next} lines")
    return writer.next, len(readers)


class Between:
    """Of the place where it was: all that was written before the mv began. Of the new one: all from the return on."""

    def __init__(self):
        self.last = {"a": -1, "b": -1}
        self.at = "a"
        self.pieces = []  # (tag, first, last)

    def __call__(self, line):
        tag, number = line.decode().split()
        number = int(number)
        if number <= self.last[tag]:
            return f"after {self.last[tag]}"
        # Nothing may have come at a place, and it is back where it was: whole pieces are looked for at the end.
        if self.pieces and self.pieces[-1][0] == tag and number == self.last[tag] + 1:
            self.pieces[-1][2] = number
        else:
            self.pieces.append([tag, number, number])
        self.last[tag] = number
        return None


def between():
    top = {t: f"{P}/accept:from-{t}" for t in "ab"}
    place = {"a": f"{top['a']}/lines", "b": f"{top['b']}/head:900000000000/lines"}
    for p in place.values():
        os.makedirs(p)
    mover = "head:777777777777"
    os.makedirs(f"{place['a']}/{mover}/lines")
    checks = [Between(), Between()]
    readers = [Reader(f"{place['a']}/{mover}/all", checks[0]), Reader(f"{place['a']}/{mover}/lines/all", checks[1])]
    stay = {t: Reader(f"{place[t]}/all", in_order()) for t in "ab"}
    writer = {t: Writer(f"{top[t]}/all", t) for t in "ab"}
    for t in readers + list(stay.values()) + list(writer.values()):
        t.start()
    stays = []  # (tag, first that must have come, last that must have come)
    at, first, end = "a", 0, time.monotonic() + SECONDS
    while time.monotonic() < end and not stop.is_set():
        time.sleep(random.random() / 100)
        to = "b" if at == "a" else "a"
        with writer[at].turn:
            before = writer[at].next
        if not move(f"{place[at]}/{mover}", f"{place[to]}/{mover}"):
            continue
        with writer[to].turn:
            after = writer[to].next
        stays.append((at, first, before - 1))
        at, first = to, after
        count("moves")
    for w in writer.values():
        w.halt.set()
        w.join()
    stays.append((at, first, writer[at].next - 1))
    for r in readers + list(stay.values()):
        r.join()
    stop.set()
    for check, r in zip(checks, readers):
        have = sorted((t, f, l) for t, f, l in check.pieces)
        for tag, low, high in stays:
            if not wrong and low <= high and not any(t == tag and f <= low and high <= l for t, f, l in have):
                wrong.append(f"{r.path}: {tag} {low} to {high} did not come in one piece")
    for t in "ab":
        if not wrong and stay[t].lines != writer[t].next:
            wrong.append(f"{stay[t].path}: {stay[t].lines} of {writer[t].next}")
    return writer["a"].next + writer["b"].next, 4


lines, readers = within() if MODE == "within" else between()
print(f"{lines} lines, {readers} readers, " + ", ".join(f"{n} {what}" for what, n in done.items() if n or what == "moves"))
if wrong:
    print(wrong[0])
    sys.exit(1)
sys.exit(0 if done["moves"] >= 10 and lines > 1000 else 2)
