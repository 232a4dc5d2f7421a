"""The signatures of a run: the signer that the options name, and the number of pictures without one."""

from collections.abc import Iterator

from cometflux.basics.plain_text import by_number, count_of
from cometflux.cli.errors import UsageError
from cometflux.cli.options.shared import RunOptions
from cometflux.provenance.signing import Signer


def make_signer(settings: RunOptions) -> Signer | None:
    """Make the signer of the options; None without one. It signs a tiny image as a proof.

    Raises:
        UsageError: only some of the options are given.
        ConfigError, MissingExtraError: as for `Signer`.
    """
    if settings.sign is None:
        for name, value in (("--sign-key", settings.sign_key), ("--sign-timestamp", settings.sign_timestamp)):
            if value is not None:
                raise UsageError(f"{name} needs --sign, the certificate to sign with")
        return None
    if settings.sign_key is None:
        raise UsageError("--sign needs --sign-key, the private key of the certificate")
    if settings.savers is not None:
        raise UsageError("workers do not sign: leave out --workers and --cluster, or --sign")
    return Signer(settings.sign, settings.sign_key, timestamp_url=settings.sign_timestamp)


def unsigned_lines(signer: Signer | None) -> Iterator[str]:
    """Yield a line for each reason why pictures are not signed, with the number of pictures."""
    for reason, count in () if signer is None else signer.unsigned.items():
        pictures = f"{count_of(count, 'picture')} {by_number(count, 'is', 'are')}"
        yield f"note: {pictures} not signed by your certificate ({reason}); the JSON file next to it says why"
