"""A tool server for agents."""

from cometflux.cli.commands.mcp_options import ServerOptions
from cometflux.cli.options.shared import NewKey, check_exclusive


def mcp(*, serving: ServerOptions = ServerOptions(), new_key: NewKey = False) -> int:  # noqa: B008 - frozen
    """Serve tools to agents, over stdin and stdout.

    An agent can buy at most N predictions, and can read only the pictures made
    here. A repeated call pays for nothing again.
    """
    from cometflux.cli.commands.mcp_server import serve

    check_exclusive(serving.settings)
    return serve(serving, new_key=new_key)
