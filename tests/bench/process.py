"""Programs under measurement: their start on one core, their CPU time and memory, their end."""

import os
import random
import socket
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def free_port():
    """A port that nobody listens on now; below those that the system gives to outgoing connections,
    of which a benchmark makes many before the port is used."""
    for _ in range(100):
        port = random.randrange(10_000, 32_000)
        with socket.socket() as listening:
            try:
                listening.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SystemExit("error: no free port was found between 10000 and 32000")


class Process:
    """A program pinned to one core, with all the processes that it starts."""

    def __init__(self, name, command, core, folder):
        self.name = name
        self.output = folder / f"{name}.log"
        with open(self.output, "wb") as output:
            self.child = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def accepts(self, port, timeout=20):
        """Waits until a port of the program accepts connections."""
        deadline = time.monotonic() + timeout
        while True:
            if self.child.poll() is not None:
                raise SystemExit(f"{self.name} ended at once:\n{self.output.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise SystemExit(
                        f"{self.name} did not listen within {timeout} s:\n{self.output.read_text()}"
                    ) from None
                time.sleep(0.02)

    def pids(self):
        """The program's process and all below it."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := stat_fields(int(entry))):
                children.setdefault(int(fields[1]), []).append(int(entry))
        found = [self.child.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu_seconds(self):
        """User and system time of all its processes so far."""
        ticks = 0
        for pid in self.pids():
            if fields := stat_fields(pid):
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def resident_bytes(self):
        """Resident memory of all its processes now."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))
        return total * 1024

    def stop(self):
        """Ends it, by force if it does not go."""
        self.child.terminate()
        try:
            self.child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            for pid in reversed(self.pids()):
                os.kill(pid, 9)
            self.child.wait()


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on, or nothing when the process has gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()
    except OSError:
        return None
