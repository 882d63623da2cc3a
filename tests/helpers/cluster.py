"""A Slurm of one node and two cores on this machine: munged, slurmctld and slurmd of Debian's packages on loopback.

Everything it writes lies in a folder of its own, its ports are free ones, and it keeps no accounts.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from getpass import getuser
from pathlib import Path

INSTALL = "apt-get install -y --no-install-recommends slurm-wlm munge"
DAEMONS = ("munged", "slurmctld", "slurmd")
LOW, HIGH = "main", "high"  # partitions: jobs of the second preempt those of the first
MAX_ARRAY = 5  # jobs in one array
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
CryptoType=crypto/munge
# A requeued job waits as long as a credential is valid, two minutes by default
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# A job that is preempted gets the signal that it asked for, as before its time limit
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
# A node that was taken down stays so until it is resumed, however often it registers
ReturnToService=1
KillWait=1
InactiveLimit=0
MaxArraySize={max_array}
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName={low} Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=15
PartitionName={high} Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str:
    """Why there can be no cluster here; empty if there can."""
    absent = [name for name in DAEMONS if _find(name) is None]
    return f"no {', '.join(absent)}: {INSTALL}" if absent else ""


class Cluster:
    """Entered, it runs, and the environment has the SLURM_CONF that leads Slurm's commands to it."""

    def __init__(self) -> None:
        # Not pytest's folder: the path of a Unix socket is short
        self.folder = Path(tempfile.mkdtemp(prefix="slurm"))
        self.daemons: list[subprocess.Popen] = []
        self.host = socket.gethostname().split(".")[0]

    def __enter__(self) -> "Cluster":
        f = self.folder
        f.chmod(0o755)
        for name in ("state", "spool", "munge"):
            (f / name).mkdir(mode=0o700)
        (f / "munge/key").write_bytes(os.urandom(1024))
        (f / "munge/key").chmod(0o400)
        controller, node = _free_ports(2)
        values = {"host": self.host, "user": getuser(), "folder": f, "controller": controller, "node": node}
        (f / "slurm.conf").write_text(CONF.format(**values, max_array=MAX_ARRAY, low=LOW, high=HIGH))
        os.environ["SLURM_CONF"] = str(f / "slurm.conf")
        self._start(
            "munged", "-F", "--force", f"--key-file={f}/munge/key", f"--socket={f}/munge.socket",
            f"--pid-file={f}/munge/pid", f"--log-file={f}/munge/log", f"--seed-file={f}/munge/seed",
        )  # fmt: skip
        self._until((f / "munge.socket").exists, "munged")
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D", "-N", self.host)
        self._until(lambda: self.command("sinfo", "-h", "-o", "%T").strip() == "idle", "the node")
        return self

    def __exit__(self, *error: object) -> None:
        self.command("scancel", "--me")
        self._until(lambda: not self.command("squeue", "-h", "-t", "running,completing"), "the end of all jobs")
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(10)
        del os.environ["SLURM_CONF"]
        shutil.rmtree(self.folder)

    def command(self, *arguments: str) -> str:
        """Output of one of Slurm's commands; empty where it fails."""
        return subprocess.run(arguments, capture_output=True, text=True, check=False).stdout

    def node(self, state: str) -> None:
        """Take the node down, with whatever runs there, or, once its steps have ended, up again."""
        down = state == "down"
        if not down:
            self._until(lambda: not list((self.folder / "spool").glob(f"{self.host}_*.*")), "the end of all steps")

        def taken() -> bool:
            self.command("scontrol", "update", f"nodename={self.host}", f"state={state}", "reason=test")
            return ("down" in self.command("sinfo", "-h", "-o", "%T")) == down

        self._until(taken, f"the node {state}")

    def logs(self) -> str:
        return "\n".join(path.read_text()[-4000:] for path in self.folder.glob("*.log"))

    def _start(self, name: str, *arguments: str) -> None:
        log = (self.folder / f"{name}.out").open("w")
        self.daemons.append(subprocess.Popen([_find(name), *arguments], stdout=log, stderr=log, cwd=self.folder))

    def _until(self, holds, what: str) -> None:
        end = time.monotonic() + 20
        while not holds():
            if time.monotonic() > end:
                raise RuntimeError(f"Slurm: {what} did not come within 20 s\n{self.logs()}")
            time.sleep(0.05)


def _find(name: str) -> str | None:
    """Debian keeps daemons in sbin, which a user's PATH may lack."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
