"""`peppy call`."""

import time

import click

from peppy.cli.arguments import given_object, message_of, packed
from peppy.cli.calling import member, message_data, message_lines, plans
from peppy.cli.command import verb
from peppy.cli.options import seconds_option
from peppy.cli.report import Report
from peppy.cli.session import daemon


@verb("call")
@click.argument("service", metavar="<service>")
@click.argument("argument", metavar="[json5]", required=False)
@seconds_option("--timeout", 5.0, "How long the response may take; 5 s unless given.")
@click.option("--full", is_flag=True, help="Print long arrays and bytes in full.")
def command(report: Report, service: str, argument: str | None, timeout: float, full: bool) -> object:
    """Call a service and print its response. Its request is one JSON5 object, as in '{ samples: 50 }'; - reads it from
    standard input."""
    from peppy.client.calls import call

    given = given_object(argument)
    deadline = time.monotonic() + timeout
    with daemon(report) as client:
        found = member(report, client, "service", service, deadline)
        request, response = plans(found)
        payload = packed(request, message_of(request, given))
        try:
            called = call(client, found, payload, max(0.0, deadline - time.monotonic()), timeout)
        finally:
            payload.close()
    if report.as_json:
        return {"instance_id": called.instance_id, "response": message_data(response, called.payload, full=full)}
    report.result("\n".join(message_lines(response, called.payload, full=full)))
    return None
