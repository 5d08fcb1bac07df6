"""`peppy node stop`."""

import click

from peppy.cli import completing
from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import daemon, stop_limit
from peppy.cli.words import instance_name


@verb("node stop")
@click.argument(
    "instance_ids", metavar="<instance_id>...", nargs=-1, required=True, shell_complete=completing.instances
)
def command(report: Report, instance_ids: tuple[str, ...]) -> object:
    """Stop instances together; the node stays in the stack."""
    from peppy.protocol.frames import NodeStop

    wanted = tuple(dict.fromkeys(name for name in map(instance_name, instance_ids) if name))
    with daemon(report) as client:
        answer = client.call(NodeStop(wanted), timeout=stop_limit(), on_output=report.output)
    for instance in answer.stopped:
        if instance.already:
            report.warning(f"instance `{instance.instance_id}` had ended before ({instance.already})")
            continue
        if instance.killed:
            report.warning(f"instance `{instance.instance_id}` did not end by itself and was killed")
        report.result(f"Stopped instance {instance.instance_id}{' (killed)' if instance.killed else ''}")
    return answer
