"""``lpspec peers``: other people's numbers beside ours."""

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile
from lpspec.cli.outputs import plan_outputs


def peers(*, json: JsonFile = None) -> None:
    """Put what neighbouring simulators and measurements give beside ours, under their conditions."""
    outputs = plan_outputs(json)
    announce_compiling()
    from lpspec.experiments.peers import peers as run_peers
    from lpspec.report.peers_table import peers_blocks, peers_document

    with progress("repeating what neighbours published"):
        result = run_peers()
    deliver(outputs, with_command(peers_document(result)), peers_blocks(result))
