"""A tool server for agents: they request pictures, up to the number of predictions that the operator allows.

::

    arguments → GenerateRequest → ImageService ── session, journal, folder
                                       │
                            reply ◀────┘  text, structured content and the pictures themselves

Needs the extra ``mcp``. An agent can reach only the models, the pictures of one folder by their names, and the state of
batches in folders that the operator allows.
"""
