"""A tool server for agents: they ask for pictures, and the operator says how many may be bought.

::

    arguments → orders → studio ── session, journal, folder
                            │
                answers ◀───┘  text, structured content and the pictures themselves

Needs the extra ``mcp``. What an agent can reach is this and no more: the models, the pictures of one folder by their
names, and the state of batches below folders that the operator allows.
"""
