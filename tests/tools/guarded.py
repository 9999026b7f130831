"""guarded - a shell by TCP makes rules about its own connection

    guarded.py MOUNT    10.9.0.1 and fd09::1 are here, 10.9.0.2 and fd09::2 in the namespace far

This process is a server: it holds the connection, and starts the shells that ask below it. What they ask is done or refused;
somebody without a connection may do it.
"""
import os
import socket
import subprocess
import sys
import time

P = sys.argv[1]
CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.settimeout(20)
while True:
    data = s.recv(100)
    if not data:
        break
    s.sendall(data)
"""
failures = []


def fail(sentence):
    failures.append(sentence)
    print("WRONG: " + sentence, flush=True)


def run(command, write):
    with open("said", "w", encoding="utf-8") as said:
        status = subprocess.run(["sh", "-c", command], stderr=said, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                check=False).returncode
    os.write(write, bytes([status]))
    os._exit(0)


def shell(connection, command, stranger):
    """Below this process, which holds the connection, or (stranger) below nobody who does. What it says; empty: done."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if not stranger:
            run(command, write)
        above = os.getpid()
        if os.fork():
            os._exit(0)
        connection.close()
        while os.getppid() == above:
            time.sleep(0.001)
        run(command, write)
    os.close(write)
    os.waitpid(child, 0)
    status = os.read(read, 1)[0]
    os.close(read)
    with open("said", encoding="utf-8") as f:
        said = f.read()
    if bool(status) != bool(said):
        fail(f"{command}: status {status}, and it says {said!r}")
    return said


def alive(connection):
    connection.sendall(b"still there?")
    return connection.recv(100) == b"still there?"


def last_error(name):
    with open(f"{P}/.errors", encoding="utf-8") as f:
        return next((line for line in reversed(f.read().splitlines()) if name in line), "")


def session(here, there, family, word):
    listener = socket.create_server((here, 0), family=family)
    port = listener.getsockname()[1]
    client = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", CLIENT, here, str(port)])
    connection, peer = listener.accept()
    listener.close()
    connection.settimeout(10)
    hook, mine = f"{P}/netfilter_in", f"match:tcp dst port {port}"

    def refused(command):
        said = shell(connection, command, False)
        # Of a write dash says no more than this.
        if "Operation not permitted" not in said and "echo: I/O error" not in said:
            fail(f"{command}: it says {said!r}")
        if not alive(connection):
            fail(f"{command}: the session is cut off")
        return said

    def done(command, stranger=False):
        said = shell(connection, command, stranger)
        if said:
            fail(f"{command}: it says {said!r}")

    done(f"mkdir -p '{hook}/{mine}'")
    refused(f"mkdir '{hook}/{mine}/drop'")
    sentence = last_error("drop")
    if f"{peer[1]}" not in sentence or there not in sentence or "force=1" not in sentence:
        fail(f".errors has {sentence!r}")
    if os.path.isdir(f"{hook}/{mine}/drop"):
        fail("what was refused is there")
    refused(f"mkdir -p '{hook}/{word}/match:len > 60/drop'")  # packets with data
    # What does not concern it, and what others are cut off by.
    done(f"mkdir '{hook}/match:tcp dst port {port ^ 1}' '{hook}/match:tcp dst port {port ^ 1}/drop'")
    refused(f"mv '{hook}/match:tcp dst port {port ^ 1}/drop' '{hook}/{mine}/drop'")
    refused(f"echo 'arg=tcp dst port {port}' >'{hook}/match:tcp dst port {port ^ 1}/.params'")
    # A pass makes it possible, and cannot be taken away then.
    done(f"mkdir '{hook}/{mine}/pass'")
    done(f"mkdir '{hook}/{mine}/drop'")
    if not alive(connection):
        fail("pass does not come first")
    refused(f"rmdir '{hook}/{mine}/pass'")
    done(f"rmdir '{hook}/{mine}/drop'")
    done(f"rmdir '{hook}/{mine}/pass'")
    # Who has come by no session is free to do it, and so is who says that he knows.
    done(f"mkdir '{hook}/{mine}/drop'", True)
    connection.settimeout(0.3)
    connection.sendall(b"still there?")
    try:
        connection.recv(100)
        fail("drop does not drop")
    except TimeoutError:
        pass
    done(f"rmdir '{hook}/{mine}/drop'")
    connection.settimeout(10)
    connection.recv(100)
    done(f"mkdir '{hook}/{mine}/drop,force=1'")
    done(f"rmdir '{hook}/{mine}/drop,force=1' '{hook}/match:tcp dst port {port ^ 1}/drop'")
    out = f"{P}/netfilter_out/match:tcp src port {port}"
    done(f"mkdir -p '{out}'")
    refused(f"mkdir '{out}/drop'")
    subprocess.run(["find", f"{P}/netfilter_in", f"{P}/netfilter_out", "-mindepth", "1", "-depth", "-type", "d", "-exec",
                    "rmdir", "{}", "+"], check=True)
    connection.close()
    client.wait()


session("10.9.0.1", "10.9.0.2", socket.AF_INET, "ip")
session("fd09::1", "fd09::2", socket.AF_INET6, "ip6")
sys.exit(bool(failures))
