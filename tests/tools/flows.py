"""flows - numbered flows from several CPUs at once, and whether a capture of them is in order

    flows.py send DEVICE CPUS FLOW N   when standard input ends, N frames from these CPUs (0,1) in turn, eight at a time
    flows.py judge FILE N FIXED...     each flow in FILE is whole, and those FIXED are in their order. Prints how many
                                       records came after one with a later time
"""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402

PORT = 20000  # and the flow
PAYLOAD = 14 + 20 + 8


def send(device, cpus, flow, count):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.bind((device, 0))
    head = pfscap.udp4(bytes(18), sport=PORT + flow)[:PAYLOAD]
    frames = [head + struct.pack(">Q", n) + bytes(10) for n in range(count)]
    os.sched_setaffinity(0, {cpus[0]})
    print("ready", flush=True)
    sys.stdin.read()
    for n, frame in enumerate(frames):
        if len(cpus) > 1 and n % 8 == 0:
            os.sched_setaffinity(0, {cpus[n // 8 % len(cpus)]})
        s.send(frame)


def judge(path, count, fixed):
    flows, late, newest, wrong = {}, 0, 0, []
    for p in pfscap.read(path):
        flow = struct.unpack_from(">H", p.data, 34)[0] - PORT
        flows.setdefault(flow, []).append(struct.unpack_from(">Q", p.data, PAYLOAD)[0])
        late += p.time < newest
        newest = max(newest, p.time)
    for flow, numbers in sorted(flows.items()):
        if sorted(numbers) != list(range(count)):
            wrong.append(f"flow {flow}: {len(numbers)} frames, {len(set(numbers))} different ones, of {count}")
        elif flow in fixed and numbers != list(range(count)):
            at = next(i for i, n in enumerate(numbers) if i != n)
            wrong.append(f"flow {flow}: not in its order from {at} on: {numbers[at:at + 8]}")
    wrong += [f"flow {flow}: nothing of it" for flow in fixed if flow not in flows]
    if wrong:
        sys.exit("\n".join(wrong))
    print(late)


def main():
    if sys.argv[1] == "send":
        send(sys.argv[2], [int(c) for c in sys.argv[3].split(",")], int(sys.argv[4]), int(sys.argv[5]))
    else:
        judge(sys.argv[2], int(sys.argv[3]), [int(f) for f in sys.argv[4:]])


main()
