"""The composition root: key, base URL, transport and defaults become a session.

An explicit argument wins over the environment, and that over the default; a blank value counts as none.
``COMETAPI_BASE_URL`` is not read: other tools set it to the address of another API.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cometflux.account.lists import AccountLists, root_of
from cometflux.account.settler import AccountSettler
from cometflux.engine.savers import Savers
from cometflux.engine.unknown_policy import OnUnknown
from cometflux.errors import ConfigError
from cometflux.events import Observer
from cometflux.images.formats import LARGEST_OUTPUT
from cometflux.journal.header import Account
from cometflux.journal.place import locate
from cometflux.journal.writer import JournalWriter
from cometflux.number_checks import check_count
from cometflux.pacing.retry import RetryPolicy
from cometflux.polling.policy import PollPolicy
from cometflux.provenance.signing import Signer
from cometflux.session.argument_checks import check_type
from cometflux.session.session import Session
from cometflux.session.settings import check_flag, read_access_token, read_base_url, read_key, read_proxy
from cometflux.storage.paths import fix_path
from cometflux.transport.addresses import is_loopback
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.client import Client


def open_session(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    max_pending: int = 64,
    poll_policy: PollPolicy | None = None,
    retry_policy: RetryPolicy | None = None,
    creates_per_minute: float | None = None,
    polls_per_minute: float | None = None,
    journal: str | Path | JournalWriter | None = None,
    new_key: bool = False,
    on_event: Observer | None = None,
    on_unknown: OnUnknown = "hold",
    max_resends: int | None = None,
    max_predictions: int | None = None,
    max_cost: float | Decimal | None = None,
    prices: Mapping[str, Any] | None = None,
    retry_failed: int = 0,
    reseed: int = 0,
    embed: bool = False,
    sign: Signer | None = None,
    proxy: str | None = None,
    trust_env: bool = False,
    ssl: Any = None,
    largest_output: int = LARGEST_OUTPUT,
    savers: Any = None,
    access_token: str | None = None,
) -> Session:
    """Make a session with CometAPI; enter it with ``async with``.

    Args:
        api_key: the key; else ``COMETAPI_KEY``, then ``COMETAPI_API_KEY`` from the environment.
        base_url: the API's URL; else ``COMETFLUX_BASE_URL``, then ``https://api.cometapi.com/replicate/v1``.
        max_pending: the concurrency: maximum number of pending predictions.
        poll_policy: how often to poll each prediction, and for how long.
        retry_policy: how to retry when that is safe.
        creates_per_minute: rate limit of submissions; None to learn it from 429s. Replicate publishes 600.
        polls_per_minute: rate limit of polls; None to learn it. Replicate publishes 3000. If more polls are due, every
            prediction is polled less often.
        journal: a file, or a folder for it. Every step is written there before the next one. If you run the same jobs
            again, in this process or a later one, they resume and are not paid for twice. None to keep the state in
            memory only.
        new_key: whether this key may replace the journal's key.
        on_event: called on the loop with each event of `cometflux.events`; its first exception is logged.
            `telemetry.spans` makes spans of the events.
        on_unknown: what to do about a submission that may have been accepted: ``hold`` it; ``resend`` it, which may pay
            for it twice; ``settle`` it with the account's tasks, within a minute; or await an async function of the job
            and the error, which returns ``hold``, ``resend`` or the id of the prediction. The job keeps its slot
            meanwhile, so the function must not wait for other jobs of the session.
        max_resends: maximum number of unknown submissions that this session sends again, and that all sessions with one
            journal send again for one job; needed with ``resend``.
        max_predictions: maximum number of predictions to pay for, including those in the journal and those that may
            have been accepted; None for no limit.
        max_cost: maximum dollars that those may cost by *prices*; None for no limit. With a limit, a job whose model
            has no price is not submitted.
        prices: dollars per request by model: ``{"flux-dev": 0.025}``, or ``{"flux-dev": {"per_image": 0.025}}``. They
            are estimates; no price is fetched.
        retry_failed: how often to submit a job again if its prediction failed for a transient reason, such as an
            interruption at the service; never if it failed because of its content.
        reseed: how often to submit a job again with another seed if the service withheld an image, over all runs with
            one journal: the prediction failed because of its content, or a saved image is black, or one is missing.
            Each attempt is paid for. The outcome's job has the last seed. A job without a seed, whose model is not
            known to take one, is not submitted. Black images are found only with the extra ``images``.
        embed: whether to embed the record in each saved image, in addition to the JSON file next to it; see
            `cometflux.provenance.read`. The pixels are not changed.
        sign: signs each saved image with your certificate, as C2PA content credentials; a `Signer` of
            `cometflux.provenance.signing`. Excludes *savers*. An image that cannot be signed is saved unsigned.
        proxy: the URL of an HTTP proxy; None for a direct connection. All requests go through it, downloads too.
        trust_env: whether to use the proxy that ``HTTPS_PROXY`` names (``HTTP_PROXY`` for an http base URL) if *proxy*
            is None, unless ``NO_PROXY`` excludes the API's host. Otherwise no variable for proxies is read.
        ssl: an ``ssl.SSLContext`` with your certificates; None for the usual ones.
        largest_output: maximum size of one output, in bytes; a larger one is not saved. Outputs that come as data URIs
            in a response have to fit in it together.
        savers: where images are fetched and saved: the address of a Dask scheduler (``tcp://host:8786``), a
            ``distributed.Client``, or a number of processes to start on this machine, with the extra ``distributed``;
            or your own ``Engine`` or ``Savers``, see `cometflux.distributed`. None for this process.
        access_token: the access token of the account, for ``on_unknown="settle"``; else ``COMETAPI_ACCESS_TOKEN`` from
            the environment. It is not the API key, and is sent only to the account's routes.

    Raises:
        ConfigError: there is no key, or a setting is unusable.
    """
    key = read_key(api_key)
    base = read_base_url(base_url)
    proxy = read_proxy(proxy, base, trust_env=trust_env)
    check_count("largest_output", largest_output, 1)
    check_flag("new_key", new_key)
    if journal is not None and not isinstance(journal, JournalWriter):
        locate(journal)  # Checks it.
        journal = JournalWriter(fix_path("journal", journal), Account(base_url=base, key=key, may_change_key=new_key))
    if savers is not None:
        check_type("retry_policy", retry_policy, RetryPolicy)
        settings = {
            "is_local": is_loopback(urlsplit(base).hostname or ""),
            "largest_output": largest_output,
            "proxy": proxy,
            "embeds": embed,
            "tries": (retry_policy or RetryPolicy()).tries,
        }
        savers = _open_savers(savers, settings)
    transport = AiohttpTransport(key, base, proxy=proxy, ssl=ssl, largest_output=largest_output)
    settler = None
    if access_token is not None or on_unknown == "settle":
        settler = _make_settler(read_access_token(access_token, key), transport, base, proxy, ssl)
    return Session(
        transport,
        max_pending=max_pending,
        poll_policy=poll_policy,
        retry_policy=retry_policy,
        creates_per_minute=creates_per_minute,
        polls_per_minute=polls_per_minute,
        journal=journal,
        on_event=on_event,
        on_unknown=on_unknown,
        max_resends=max_resends,
        max_predictions=max_predictions,
        max_cost=max_cost,
        prices=prices,
        retry_failed=retry_failed,
        reseed=reseed,
        embed=embed,
        sign=sign,
        savers=savers,
        settler=settler,
    )


def _make_settler(
    token: str | None, transport: AiohttpTransport, base_url: str, proxy: str | None, ssl: Any
) -> AccountSettler:
    if token is None:
        hint = "pass access_token, or set COMETAPI_ACCESS_TOKEN"
        raise ConfigError(
            "on_unknown='settle' needs the access token of the account", setting="access_token", hint=hint
        )
    root = root_of(base_url)
    return AccountSettler(
        open_lists=lambda: AccountLists(AiohttpTransport(token, root, proxy=proxy, ssl=ssl)), client=Client(transport)
    )


def _open_savers(cluster: Any, settings: Mapping[str, Any]) -> Savers:
    # Here and nowhere else the line imports what is beside it, so that nothing of a cluster is loaded before.
    from cometflux.distributed import WorkSettings, open_savers

    return open_savers(cluster, WorkSettings(**settings))
