"""Runs separate.py on a cluster of two nodes, and kills one of them.

python two_nodes.py RECORDINGS ARGUMENT...  (run by test_cluster.py)

The node is killed after the first RECORDINGS lines of output. All other arguments are those
of separate.py.
"""

import subprocess
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]


def main(kill_after: int, arguments: list[str]) -> int:
    node_args = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node_args)
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    command = [sys.executable, ROOT / "separate.py", "--engine=ray"]
    process = subprocess.Popen(
        [*command, f"--address={cluster.address}", *arguments], stdout=subprocess.PIPE
    )
    for number, line in enumerate(process.stdout, 1):
        sys.stdout.buffer.write(line)
        if number == kill_after:
            cluster.remove_node(second, allow_graceful=False)
    status = process.wait()
    cluster.shutdown()
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
