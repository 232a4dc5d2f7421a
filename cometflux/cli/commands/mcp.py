"""A tool server for agents."""

import attrs

from cometflux.cli.commands.mcp_options import ServerOptions
from cometflux.cli.options.shared import NewKey, Schemas, check_exclusive


def mcp(
    *,
    serving: ServerOptions = ServerOptions(),  # noqa: B008 - frozen
    schema: Schemas = (),
    new_key: NewKey = False,
) -> int:
    """Serve tools to agents (MCP), over stdin and stdout.

    Agents can buy predictions up to --max-predictions, and can read only the
    pictures in the folder. A repeated call costs nothing.
    """
    from cometflux.cli.commands.mcp_server import serve
    from cometflux.sources.schema_files import read_schemas

    serving = attrs.evolve(serving, schemas=read_schemas(schema))
    check_exclusive(serving.settings)
    return serve(serving, new_key=new_key)
