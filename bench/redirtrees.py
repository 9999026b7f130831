"""redirtrees - directories seen through redirections and their peers, for bench/redir* and bench/urfs

Each is mounted anew and taken away by the same functions. Peers that are not installed are left out. libfuse's
passthrough_hp is built from its example in subprojects, with the cache time-outs that all others have here, or is
what PASSTHROUGH_HP names.
"""
import atexit
import glob
import os
import shutil
import signal
import subprocess
import sys

import pfsbench as b

TIMEOUT = "1"  # s, of names and attributes: that of our layer
FILTERS = os.path.join(b.BUILD, "src")
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(*command, **more):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **more)


def passthrough_hp():
    """The program; None: it can neither be found nor built."""
    given = os.environ.get("PASSTHROUGH_HP")
    if given:
        return given
    program = b.tool("passthrough_hp")
    sources = glob.glob(os.path.join(TOP, "subprojects", "fuse-3*", "example", "passthrough_hp.cc"))
    library = glob.glob(os.path.join(b.BUILD, "subprojects", "fuse-3*", "lib", "libfuse3.a"))
    if os.path.exists(program) or not sources or not library or not shutil.which("g++"):
        return program if os.path.exists(program) else None
    with open(sources[0], encoding="utf-8") as f:
        text = f.read().replace("86400.0", TIMEOUT + ".0")
    copy = program + ".cc"
    with open(copy, "w", encoding="utf-8") as f:
        f.write(text)
    fuse = os.path.dirname(os.path.dirname(sources[0]))
    built = os.path.dirname(os.path.dirname(library[0]))
    run("g++", "-O2", "-std=c++17", "-D_GNU_SOURCE", "-o", program, copy, *(f"-I{d}" for d in (
        fuse + "/include", fuse + "/example", fuse + "/lib", built)), library[0], "-lpthread", "-ldl")
    return program


def shared(name):
    """--load's word of a filter that is a shared object, without its directory."""
    return os.path.join(b.BUILD, "bench", "bench-redirnoop.so") if name == "noop" else os.path.join(FILTERS, name + ".so")


class Tree:
    """`below` as one of them shows it: path() is inside of that."""

    def __init__(self, how, top):
        self.how, self.top = how, top
        self.below = os.path.join(top, "below")
        self.seen = os.path.join(top, "seen")
        self.process = self.listener = None
        self.mounted = []
        for d in (self.below, self.seen):
            os.makedirs(d, exist_ok=True)
        atexit.register(self.close)

    def path(self, *parts):
        return os.path.join(self.seen, *parts)

    def open(self):
        """Mounted; afterwards path() is what is to be measured."""
        kind, _, which = self.how.partition(":")
        getattr(self, "open_" + kind.replace("-", "_"))(which)
        return self

    def open_native(self, _):
        self.bind()

    def bind(self):
        run("mount", "--bind", self.below, self.seen)
        self.mounted.append(self.seen)

    def open_redirect(self, filters):
        """redirect, redirect:NAME (in its process), redirect:NAME+remote (in one of its own)."""
        name, _, remote = filters.partition("+")
        self.bind()
        words = []
        if name and not remote:
            words = ["--load", f"{shared(name)},{self.seen}"]
        elif name:
            words = ["--listen", self.top + "/socket"]
        run(b.PIPESFS, "redirect", *words, self.seen)
        self.mounted.append(self.seen)
        if remote:
            program = b.tool("redirnoop") if name == "noop" else os.path.join(FILTERS, name)
            self.process = subprocess.Popen([program, self.seen], env={**os.environ, "PIPESFS_URFS": self.top + "/socket"})
            self.wait_filter(name)

    def wait_filter(self, name):
        probe, low = self.path(".probe"), os.path.join(self.below, ".probe")

        def there():
            if name == "scrambleflt":
                with open(probe, "wb") as f:
                    f.write(b"\x12")
                with open(low, "rb") as f:
                    return f.read() == b"\x21"
            with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as f:
                return "memfd:" in f.read()  # its channel stands; what it registers comes with the same breath

        b.wait_for(name, there)
        if os.path.exists(probe):
            os.unlink(probe)

    def open_bindfs(self, _):
        run("bindfs", "--multithreaded", "-o", f"attr_timeout={TIMEOUT},entry_timeout={TIMEOUT}", self.below, self.seen,
            stderr=subprocess.DEVNULL)
        self.mounted.append(self.seen)

    def open_passthrough_hp(self, _):
        # In a session of its own as all the others: sessions get equal shares of the CPUs where autogroups are on.
        run(passthrough_hp(), self.below, self.seen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        b.wait_for("passthrough_hp", lambda: os.path.ismount(self.seen))
        self.mounted.append(self.seen)

    def open_gocryptfs(self, _):
        if not os.path.exists(self.below + "/gocryptfs.conf"):
            run("gocryptfs", "-q", "-init", "-scryptn", "10", "-extpass", "echo x", self.below)
        run("gocryptfs", "-q", "-extpass", "echo x", self.below, self.seen)
        self.mounted.append(self.seen)

    def open_encfs(self, _):
        subprocess.run(["encfs", "--standard", "--stdinpass", self.below, self.seen], input="x\n", text=True, check=True,
                       stdout=subprocess.DEVNULL)
        self.mounted.append(self.seen)

    def open_fanotify(self, _):
        self.bind()
        self.process = subprocess.Popen([b.tool("redir"), "permit", self.seen], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("no fanotify permission events here")

    def close(self):
        if self.process and self.how.startswith("fanotify"):
            b.end([self.process])
        while self.mounted:
            run("umount", "-l", self.mounted.pop())
        if self.process:
            b.end([self.process], signal.SIGTERM)
            self.process = None


def available(names):
    """Those that can be had here; the others are named."""
    there = []
    for name in names:
        kind = name.partition(":")[0]
        if kind == "passthrough-hp":
            missing = not passthrough_hp()
        else:
            missing = kind in ("bindfs", "gocryptfs", "encfs") and not shutil.which(kind)
        if missing:
            print(f"  {kind} is not here", file=sys.stderr)
        else:
            there.append(name)
    return there


def measure(*words):
    """Seconds that bench-redir says."""
    return float(run(b.tool("redir"), *map(str, words), stdout=subprocess.PIPE, text=True).stdout.split()[0])
