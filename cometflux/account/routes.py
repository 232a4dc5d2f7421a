"""The routes of the account, which are beside the API's own below one root."""

_API = "/replicate/v1"
CATALOGUE = "/api/models"
"""The public catalogue of models. It needs no key."""
TASKS = "/api/task/self"
"""The account's tasks. It needs the access token, as the log."""
LOG = "/api/log/self"
USER = "/api/user/self"
"""The account's owner, with the balance of the account. It needs the access token, too."""
SUBSCRIPTION = "/v1/dashboard/billing/subscription"
"""The limit of the API key, which this route and the next need."""
USAGE = "/v1/dashboard/billing/usage"


def find_root(base_url: str) -> str | None:
    """Return the URL below which the account's routes are; None if the base URL does not show it."""
    return base_url.removesuffix(_API) if base_url.endswith(_API) else None
