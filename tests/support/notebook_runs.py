"""Run a notebook in a real kernel."""


def execute(notebook, folder):
    """Run the cells in a kernel with *folder* as its current folder."""
    from nbclient import NotebookClient

    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=60, coalesce_streams=True, resources=resources).execute()
