"""Terraform with the provider, beside Terraform's own resource that does nothing, in the same run."""

import collections
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

from balancer import started

COUNT = 500
MANY = 2000

ATTACHED = """
resource "lbctl_pool" "p" {
  name = "attached"
}
resource "lbctl_server" "s" {
  count   = %d
  pool    = lbctl_pool.p.name
  name    = "s${count.index}"
  address = "10.2.${floor(count.index / 250)}.${count.index %% 250 + 1}:80"
}
"""

NOTHING = """
resource "terraform_data" "s" {
  count = %d
  input = "10.2.${floor(count.index / 250)}.${count.index %% 250 + 1}:80"
}
"""

INLINE = """
resource "lbctl_pool" "p" {
  name    = "inline"
  servers = {
    for i in flatten([for a in range(%d) : [for b in range(500) : a * 500 + b]]) :
    "s${i}" => { address = "10.${floor(i / 62500) + 3}.${floor(i / 250) %% 250}.${i %% 250 + 1}:80", weight = i == 7 ? WEIGHT : 100 }
  }
}
"""


def measure(program, rounds):
    """Seconds of each step, by case: the wall and the processor's of everything that Terraform ran."""
    seen = collections.defaultdict(lambda: collections.defaultdict(list))
    if not shutil.which(terraform()):
        return None
    for _ in range(rounds):
        for name, text in [
            ("built-in", NOTHING % COUNT),
            ("servers", ATTACHED % COUNT),
            ("inline", INLINE.replace("WEIGHT", "100") % (COUNT // 500)),
            ("many", INLINE.replace("WEIGHT", "100") % (MANY // 500)),
        ]:
            with tempfile.TemporaryDirectory(prefix="lbctl-terraform-") as folder:
                folder = pathlib.Path(folder)
                with started(program, "") as api:
                    before = revision(api)
                    run = Run(program, folder, api)
                    run.write(text)
                    seen[name]["apply"].append(run("apply", "-auto-approve"))
                    seen[name]["revisions"].append(revision(api) - before)
                    seen[name]["plan"].append(run("plan"))
                    if name == "inline":
                        run.write(text.replace("? 100", "? 101"))
                        seen[name]["changed"].append(run("plan"))
    return seen


def terraform():
    """The program."""
    return os.environ.get("TERRAFORM", "terraform")


def revision(api):
    """The number of the revision in force."""
    return api.read("/revisions?limit=1")["current"]


class Run:
    """Terraform in a folder."""

    def __init__(self, program, folder, api):
        self.folder = folder
        rc = folder / "terraform.rc"
        built = pathlib.Path(program).parent
        rc.write_text(
            f'provider_installation {{\n  dev_overrides {{ "lbctl/lbctl" = "{built}" }}\n  direct {{}}\n}}\n'
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "LBCTL_"))}
        self.environment = kept | {"TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1"}
        endpoint = api.connection.sock.getpeername()
        (folder / "provider.tf").write_text(
            'terraform {\n  required_providers {\n    lbctl = { source = "lbctl/lbctl" }\n  }\n}\n'
            f'provider "lbctl" {{\n  endpoint = "unix:{endpoint}"\n}}\n'
        )

    def write(self, text):
        """The configuration from now on."""
        (self.folder / "main.tf").write_text(text)

    def __call__(self, *args):
        """Seconds on the wall and of the processor."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [terraform(), *args, "-no-color"], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )
        if done.returncode:
            raise SystemExit(f"error: terraform {' '.join(args)}\n{done.stdout}\n{done.stderr}")
        spent, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return spent, processor


def markdown(seen):
    """What was seen, as a table."""
    if seen is None:
        return "Terraform: not measured, as there is no `terraform` here.\n"
    wall = lambda name, step: statistics.median(first for first, _ in seen[name][step])
    own = lambda name, step: statistics.median(second for _, second in seen[name][step])
    base = wall("built-in", "apply")
    rows = [
        (f"apply {COUNT} servers, each a resource", "servers", "apply", min(15.0, 1.3 * base + 2)),
        ("plan again, nothing to do", "servers", "plan", min(5.0, 1.5 * wall("built-in", "plan") + 1)),
        (f"apply a pool of {COUNT} servers", "inline", "apply", 1.5),
        ("plan it with one server changed", "inline", "changed", 1.0),
        (f"apply a pool of {MANY:,} servers", "many", "apply", 5.0),
    ]
    lines = [
        f"Terraform, {len(seen['servers']['apply'])} rounds; `terraform_data` in the same run:"
        f" {COUNT} of them applied in {base:.2f} s, planned in {wall('built-in', 'plan'):.2f} s.",
        "",
        "| step | seconds | of the processor | bar |",
        "|---|---:|---:|---:|",
    ]
    for title, name, step, bar in rows:
        spent = wall(name, step)
        met = "met" if spent <= bar else "**missed**"
        lines.append(f"| {title} | {spent:.2f} | {own(name, step):.2f} | {bar:.1f}, {met} |")
    lines += ["", f"A pool of {COUNT} servers is {seen['inline']['revisions'][0]} revision.", ""]
    return "\n".join(lines)


def failures(seen):
    """What must not be, on any machine."""
    if seen and any(made != 1 for made in seen["inline"]["revisions"]):
        return [f"terraform: a pool took {seen['inline']['revisions']} revisions"]
    return []
