"""A tool server for agents."""

from cometflux.cli.commands.mcp_options import ServerOptions
from cometflux.cli.options.shared import NewKey, check_exclusive


def mcp(*, serving: ServerOptions = ServerOptions(), new_key: NewKey = False) -> int:  # noqa: B008 - frozen
    """Offer tools to agents, over stdin and stdout.

    An agent can buy no more than N predictions, and reads no file but the pictures
    made here. The same call again buys nothing again.
    """
    from cometflux.cli.commands.mcp_server import serve

    check_exclusive(serving.settings)
    return serve(serving, new_key=new_key)
