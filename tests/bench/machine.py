"""What the benchmarks need of the machine: programs, cores, file descriptors, lbctl itself."""

import os
import pathlib
import resource
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES_STAY_DOWN = pathlib.Path("/usr/sbin/policy-rc.d")


def install(packages):
    """Installs from Debian's packages, as root or with sudo, the programs that are missing."""
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if not missing:
        return
    print(f"installing {' '.join(missing)}", file=sys.stderr)
    # Debian starts the services of what it installs; port 80 of this machine is not ours to take.
    blocked = not SERVICES_STAY_DOWN.exists()
    if blocked:
        as_root("sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' >{SERVICES_STAY_DOWN}")
        as_root("chmod", "755", str(SERVICES_STAY_DOWN))
    try:
        options = ["-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends"]
        as_root("apt-get", "-qq", "update")
        as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, "install", *missing)
    finally:
        if blocked:
            as_root("rm", "-f", str(SERVICES_STAY_DOWN))


def as_root(*command):
    """Runs a command as root."""
    prefix = [] if os.getuid() == 0 else ["sudo"]
    subprocess.run([*prefix, *command], check=True, stdout=sys.stderr)


def cores():
    """The core of the proxies, and the core of everything else."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        print("note: there is one core only: load and proxy share it", file=sys.stderr)
    return usable[-1], usable[0]


def idle_connections(wanted):
    """How many idle connections every proxy may have: two descriptors for each must be allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = (hard - 1000) // 2
    if possible < wanted:
        print(
            f"note: {possible} idle connections instead of {wanted}, because the limit on open files"
            f" is {hard}; `ulimit -Hn {2 * wanted + 1000}` as root raises it",
            file=sys.stderr,
        )
    return min(wanted, possible)


def build():
    """Builds lbctl as it is released."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = ["cargo", "build", "--quiet", "--locked", "--release", "--workspace"]
    subprocess.run(command, cwd=ROOT, check=True)
    return str(target / "release" / "lbctl")
